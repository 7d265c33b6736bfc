import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";

// Stands for whatever a real project generates: a manifest of the sources with their digests.
const files = (await readdir("src")).sort();
const manifest = Object.fromEntries(
  await Promise.all(files.map(async (name) => [name, createHash("sha256").update(await readFile(`src/${name}`)).digest("hex")])),
);
await mkdir("dist", { recursive: true });
await writeFile("dist/manifest.json", `${JSON.stringify(manifest, null, 2)}\n`);
