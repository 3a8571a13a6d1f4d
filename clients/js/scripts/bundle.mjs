// Builds `dist/tidegate.min.js`, the client as one minified module for pages without a build step.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const { name, version, license } = JSON.parse(await readFile("package.json", "utf8"));
const { outputFiles } = await build({
  entryPoints: ["src/index.ts"],
  outfile: "dist/tidegate.min.js",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
  banner: { js: `/* ${name} ${version}, ${license}. Built from clients/js by "make bundle": do not edit. */` },
  write: false,
});
const [bundle] = outputFiles;
await mkdir("dist", { recursive: true });
await writeFile("dist/tidegate.min.js", bundle.contents);
console.log(`dist/tidegate.min.js: ${bundle.contents.length} bytes, ${gzipSync(bundle.contents).length} gzipped`);
