// Bundles the recipes of docs/reference/javascript.md for a browser.
//
// node recipes.mjs FOLDER reads Title.jsx, and the folders svelte and vue with feed.js and a component, and writes
// recipes.js: a script that shows each of them in the element of its name.

import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { compile } from "svelte/compiler";
import { compileScript, parse } from "vue/compiler-sfc";

const [, , folder] = process.argv;
const source = fileURLToPath(new URL("../../clients/js/src/", import.meta.url));

const ENTRY = `
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { mount } from "svelte";
import { createApp } from "vue";
import { Title } from "./Title.jsx";
import SvelteTitle from "./svelte/Title.svelte";
import VueTitle from "./vue/Title.vue";

const place = (name) => document.getElementById(name);
createRoot(place("react")).render(createElement(Title));
mount(SvelteTitle, { target: place("svelte") });
createApp(VueTitle).mount(place("vue"));
`;

const components = {
  name: "components",
  setup(plugin) {
    plugin.onLoad({ filter: /\.svelte$/ }, ({ path }) => {
      const { js } = compile(readFileSync(path, "utf8"), { filename: path, css: "injected" });
      return { contents: js.code };
    });
    plugin.onLoad({ filter: /\.vue$/ }, ({ path }) => {
      const { descriptor, errors } = parse(readFileSync(path, "utf8"), { filename: path });
      if (errors.length > 0) throw errors[0];
      return { contents: compileScript(descriptor, { id: basename(path), inlineTemplate: true }).content };
    });
  },
};

await build({
  stdin: { contents: ENTRY, resolveDir: folder },
  outfile: join(folder, "recipes.js"),
  bundle: true,
  format: "iife",
  jsx: "automatic",
  conditions: ["browser"],
  alias: { livefeed: join(source, "livefeed.js"), "livefeed/react": join(source, "react.js") },
  nodePaths: [fileURLToPath(new URL("node_modules", import.meta.url))],
  define: {
    "process.env.NODE_ENV": '"production"',
    __VUE_OPTIONS_API__: "false",
    __VUE_PROD_DEVTOOLS__: "false",
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
  },
  logOverride: { "empty-import-meta": "silent" },
  plugins: [components],
});
