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
const NOTE = "/* livefeed.js, MIT licence */";
/** The modules that are loaded when they are needed. */
const LATER = ["tabs", "later", "values"];
/** Members that only the modules use among themselves: they get short names. */
const INTERNAL = [
  ...["again", "asked", "checkClock", "deliver", "doubt", "enter", "expectTick", "fail", "failures", "feeds", "hear", "isClosed"],
  ...["isForeign", "isGuest", "isPolled", "isRefused", "leave", "notify", "opened", "options", "outdate", "receive", "relay", "demand"],
  ...["rest", "restart", "take", "tabs", "tick", "timer", "turn", "urlOf", "valueOfText", "wanted"],
];

const names = {};
/** The short names, which are the same in all modules. */
const shortNames = {};
/** Modules that are loaded later are named by their content, so that those of different releases never meet. */
const later = {
  name: "later",
  setup(plugin) {
    plugin.onResolve({ filter: /./ }, ({ path, kind, importer }) => {
      const isApart = kind === "dynamic-import" || importer.endsWith("verify.js");
      return isApart ? { path: `./${names[path.slice(2, -3)]}`, external: true } : undefined;
    });
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
    banner: { js: LATER.includes(entry) ? "" : NOTE },
    plugins: [later],
    mangleProps: new RegExp(`^(${INTERNAL.join("|")})$`),
    mangleCache: shortNames,
    logOverride: { "empty-import-meta": "silent" },
    write: false,
    ...options,
  });
  Object.assign(shortNames, built.mangleCache);
  const { contents } = built.outputFiles[0];
  writeFileSync(join(folder, name), contents);
  const hash = createHash("sha256").update(contents).digest("hex").slice(0, 8);
  return name.replace(/\.js$/, `.${hash}.js`);
}

// The first time for the short names, the last time with the names of the others.
await write("livefeed", "livefeed.js", {});
for (const each of LATER) names[each] = await write(each, `livefeed.${each}.js`, {});
names.livefeed = await write("livefeed", "livefeed.js", {});
// Not loaded by the others: pages of protected feeds import it.
await write("token", "livefeed.token.js", {});
await write("livefeed", "livefeed.classic.js", { format: "iife", globalName: "livefeed" });
// A page loads it in place of the first one, which it loads itself.
await write("verify", "livefeed.verify.js", {});
