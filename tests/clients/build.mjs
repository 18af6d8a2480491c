// Builds livefeed.js for browsers from clients/js/src.
//
// node build.mjs FOLDER writes the files into a folder: `livefeed/static`, or the one where a test compares them.

import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const [, , folder] = process.argv;
const source = fileURLToPath(new URL("../../clients/js/src/", import.meta.url));
const NOTE = "/* livefeed.js, MIT. Readable source: clients/js/src in the repository of livefeed. */";
/** The modules that are loaded when they are needed. */
const LATER = ["events", "values"];

const names = {};
/** Modules that are loaded later are named by their content, so that those of different releases never meet. */
const later = {
  name: "later",
  setup(plugin) {
    plugin.onResolve({ filter: /./ }, ({ path, kind }) =>
      kind === "dynamic-import" ? { path: `./${names[path.slice(2, -3)]}`, external: true } : undefined,
    );
  },
};

async function write(entry, name, options) {
  const built = await build({
    entryPoints: [join(source, `${entry}.js`)],
    bundle: true,
    minify: true,
    charset: "utf8",
    target: "es2022",
    format: "esm",
    banner: { js: NOTE },
    plugins: [later],
    logOverride: { "empty-import-meta": "silent" },
    write: false,
    ...options,
  });
  const { contents } = built.outputFiles[0];
  writeFileSync(join(folder, name), contents);
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 16);
  return name.replace(/\.js$/, `.${hash}.js`);
}

for (const each of LATER) names[each] = await write(each, `livefeed.${each}.js`, {});
await write("livefeed", "livefeed.js", {});
await write("livefeed", "livefeed.classic.js", { format: "iife", globalName: "livefeed" });
