// A CONNECT client on Node's own HTTP/2: reads commands' parameters from argv, prints one JSON line, exits.
// node connect_client.js ADDRESS SNI CA TOKEN AUTHORITY SIZE
const http2 = require("node:http2");
const fs = require("node:fs");
const crypto = require("node:crypto");

const [address, servername, ca, token, authority, size] = process.argv.slice(2);
const payload = crypto.randomBytes(Number(size));
const result = { status: null, proxyStatus: null, received: 0, same: false, ended: false, code: null, goaway: null };

const session = http2.connect(`https://${address}`, { servername, ca: fs.readFileSync(ca), ALPNProtocols: ["h2"] });
session.on("goaway", (code) => { result.goaway = code; });
session.on("error", (error) => { result.error = error.message; });

const headers = { ":method": "CONNECT", ":authority": authority };
if (token) headers["proxy-authorization"] = `Bearer ${token}`;
const stream = session.request(headers);
const hash = crypto.createHash("sha256");
stream.on("response", (fields) => {
  result.status = fields[":status"];
  result.proxyStatus = fields["proxy-status"] ?? null;
  if (result.status === 200) stream.end(payload);
  else stream.end();
});
stream.on("data", (data) => { result.received += data.length; hash.update(data); });
stream.on("end", () => { result.ended = true; });
stream.on("error", (error) => { result.error = error.message; });
stream.on("close", () => {
  result.code = stream.rstCode;
  result.same = hash.digest("hex") === crypto.createHash("sha256").update(payload).digest("hex");
  session.close(() => console.log(JSON.stringify(result)));
});
