// Reads lines of {"token": …} from stdin and writes, for each, what npm's jose makes of it: a second opinion.
import { createInterface } from "node:readline";
import { createLocalJWKSet, jwtVerify } from "jose";

const { keys, issuer, audience, now } = JSON.parse(process.argv[2]);
const keySet = createLocalJWKSet({ keys });
const options = { algorithms: ["RS256"], issuer, audience, currentDate: new Date(now * 1000), clockTolerance: 60 };

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const { payload } = await jwtVerify(JSON.parse(line).token, keySet, options);
    answer = { accepted: true, oid: payload.oid, aud: payload.aud, exp: payload.exp };
  } catch (error) {
    answer = { accepted: false, why: error.code ?? error.name };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
