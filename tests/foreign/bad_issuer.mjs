// npm's oauth2-mock-server as an issuer that signs whatever it is told to: one JSON line in, one token out.
import { createInterface } from "node:readline";
import { OAuth2Issuer } from "oauth2-mock-server";

const issuer = new OAuth2Issuer();
issuer.url = JSON.parse(process.argv[2]).issuer;
await issuer.keys.generate("RS256", { kid: "mock" });
process.stdout.write(`${JSON.stringify({ keys: issuer.keys.toJSON() })}\n`);
for await (const line of createInterface({ input: process.stdin })) {
  const { header, payload, drop } = JSON.parse(line);
  const token = await issuer.buildToken({
    scopesOrTransform: (head, body) => {
      Object.assign(head, header);
      Object.assign(body, payload);
      for (const name of drop ?? []) delete body[name];
    },
  });
  process.stdout.write(`${JSON.stringify({ token })}\n`);
}
