/**
 * The certificate of encrypted tunnels: self-signed, made anew at every start, its key in memory only. Clients trust it by the
 * file that it is written to. Knows no tunnels.
 */
import { X509Certificate } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { generate } from "selfsigned";

const validMs = 365 * 24 * 60 * 60 * 1000;
/** A guest's or a client's clock may be a little behind. */
const clockSkewMs = 60 * 60 * 1000;

export interface TunnelCertificate {
  /** PEM; also what clients trust */
  cert: string;
  key: string;
  /** where `cert` is, for NODE_EXTRA_CA_CERTS or `curl --cacert` */
  file: string;
  /** as X509Certificate prints it: AB:CD:… */
  fingerprint256: string;
}

export async function makeTunnelCertificate(stateDir: string, now: number): Promise<TunnelCertificate> {
  const { private: key, cert } = await generate([{ name: "commonName", value: "Modal emulator" }], {
    keyType: "ec",
    algorithm: "sha256",
    notBeforeDate: new Date(now - clockSkewMs),
    notAfterDate: new Date(now + validMs),
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", digitalSignature: true, keyCertSign: true, critical: true },
      { name: "extKeyUsage", serverAuth: true },
      {
        name: "subjectAltName",
        altNames: [
          { type: 7, ip: "127.0.0.1" },
          { type: 2, value: "localhost" },
        ],
      },
    ],
  });
  const file = join(stateDir, "tunnel-ca.pem");
  await mkdir(stateDir, { recursive: true });
  await writeFile(file, cert);
  return { cert, key, file, fingerprint256: new X509Certificate(cert).fingerprint256 };
}
