import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

/** A certificate and its private key, PEM. */
export interface Credentials {
  readonly cert: string;
  readonly key: string;
}

/** A certificate authority made for one test run. */
export interface Authority {
  /** Its own certificate, PEM: what the other side trusts. */
  readonly cert: string;
  /** Issues a certificate for `commonName`, valid for `localhost` and `127.0.0.1`, as a server's and as a client's. */
  issue(commonName: string): Credentials;
}

/** Makes an authority with a fresh key. Everything is valid from yesterday until tomorrow; nothing is written to disk. */
export function createAuthority(commonName: string): Authority {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const issuer = derName(commonName);
  const keyId = createHash("sha256").update(derPublicKey(publicKey)).digest().subarray(0, 20);
  const authority = [
    derExtension("2.5.29.19", true, der(0x30, der(0x01, Buffer.of(0xff)))), // basic constraints: is an authority
    derExtension("2.5.29.15", true, der(0x03, Buffer.of(2, 0x04))), // key usage: signs certificates
    derExtension("2.5.29.14", false, der(0x04, keyId)), // subject key identifier
  ];
  const leaf = [
    derExtension(
      "2.5.29.17",
      false,
      der(0x30, der(0x82, Buffer.from("localhost")), der(0x87, Buffer.of(127, 0, 0, 1))),
    ),
    derExtension("2.5.29.35", false, der(0x30, der(0x80, keyId))), // authority key identifier
  ];
  return {
    cert: certificate(issuer, issuer, publicKey, privateKey, authority),
    issue(name) {
      const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
      return {
        cert: certificate(derName(name), issuer, keys.publicKey, privateKey, leaf),
        key: keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      };
    },
  };
}

/** An X.509 v3 certificate (RFC 5280), signed with ECDSA and SHA-256. */
function certificate(
  subject: Buffer,
  issuer: Buffer,
  publicKey: KeyObject,
  issuerKey: KeyObject,
  extensions: Buffer[],
): string {
  const algorithm = der(0x30, derOid("1.2.840.10045.4.3.2"));
  const serial = randomBytes(8);
  serial[0] = 0x40; // positive and without a leading zero, as DER wants it
  const day = 24 * 3600 * 1000;
  const toBeSigned = der(
    0x30,
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, serial),
    algorithm,
    issuer,
    der(0x30, derTime(Date.now() - day), derTime(Date.now() + day)),
    subject,
    derPublicKey(publicKey),
    der(0xa3, der(0x30, ...extensions)),
  );
  const signature = Buffer.concat([Buffer.of(0), sign("sha256", toBeSigned, issuerKey)]);
  const base64 = der(0x30, toBeSigned, algorithm, der(0x03, signature)).toString("base64");
  return `-----BEGIN CERTIFICATE-----\n${base64.match(/.{1,64}/g)?.join("\n")}\n-----END CERTIFICATE-----\n`;
}

/** One DER element: tag, length, contents. */
function der(tag: number, ...contents: Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}

function derOid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) groups.unshift(0x80 | (left & 0x7f));
    bytes.push(...groups);
  }
  return der(0x06, Buffer.from(bytes));
}

function derPublicKey(key: KeyObject): Buffer {
  return key.export({ type: "spki", format: "der" });
}

function derName(commonName: string): Buffer {
  return der(0x30, der(0x31, der(0x30, derOid("2.5.4.3"), der(0x0c, Buffer.from(commonName)))));
}

function derTime(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replace(/\.\d+Z$|[-:T]/g, "");
  return der(0x17, Buffer.from(`${digits.slice(2)}Z`));
}

function derExtension(oid: string, critical: boolean, value: Buffer): Buffer {
  const flag = critical ? [der(0x01, Buffer.of(0xff))] : [];
  return der(0x30, derOid(oid), ...flag, der(0x04, value));
}
