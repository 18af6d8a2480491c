// The page of one feed: it brings the parts together. Each part has one responsibility, and a module of its own.

import { element, write } from "./dom.js";
import { Election, isElection } from "./election.js";
import { isObject, plain } from "./exact.js";
import { History } from "./history.js";
import { howto } from "./howto.js";
import { Overlaid } from "./overlaid.js";
import { Plots } from "./plots.js";
import { Search } from "./search.js";
import { isShownByServer } from "./shows.js";
import { condition, isShown, StateLine } from "./state.js";
import { strings } from "./strings.js";
import { themeSwitch } from "./theme.js";
import { addresses, connect, Connection } from "./transport.js";
import { Tree } from "./tree.js";
import { Version } from "./version.js";

const name = document.body.dataset.feed;
const { feed: url, library } = addresses(name);
const byId = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.newest = null; // the newest version
    this.pinned = null; // the earlier version that is shown instead
    this.drawn = null;
    this.treeShows = null; // the version that is in the tree
    this.waits = false;
    this.feed = connect(url, () => this.onNews());
    this.title = name;
    this.state = new StateLine(this.feed, () => this.title);
    this.history = new History((version) => this.pin(version));
    this.connection = new Connection(this.feed);
    this.plots = isShownByServer("figures") ? new Plots() : null;
    this.tree = new Tree();
    this.search = new Search((path) => this.reveal(path));
    this.overlaid = new Overlaid(this.tree);
    this.election = null;
    this.raw = element("pre", { class: "raw", tabindex: "0" });
    this.place();
    this.state.update();
    document.addEventListener("visibilitychange", () => this.draw());
  }

  place() {
    const foldAll = (open) => element("button", { type: "button", onclick: () => this.tree.fold(open) }, open ? strings.expand : strings.fold);
    this.tools = element("div", { class: "tools" }, this.search.element, element("span", { class: "folds" }, foldAll(true), foldAll(false)));
    this.plainView = element("div", { class: "document" }, this.tools, this.tree.element, this.raw);
    this.whole = element("details", { class: "panel whole", hidden: true, ontoggle: () => this.draw() }, element("summary", {}, element("h2", {}, strings.wholeDocument)));
    const panel = (title, content) => element("details", { class: "panel", ontoggle: () => this.update(false) }, element("summary", {}, element("h2", {}, title)), content);
    byId("skip").textContent = strings.skip;
    byId("where").append(this.state.element);
    byId("switches").append(themeSwitch());
    byId("notices").append(this.state.explanation, this.overlaid.element, this.history.banner, this.state.announcer);
    byId("main").append(this.plainView);
    byId("panels").append(
      this.whole,
      panel(strings.history, this.history.element),
      panel(strings.connection, this.connection.element),
      panel(strings.howto, howto(url, library)),
    );
    if (this.plots) byId("panels").children[2].after(this.plots.element);
    byId("panels").setAttribute("aria-label", strings.tools);
    const all = byId("all");
    if (all) all.textContent = strings.allFeeds;
  }

  // The library calls this for a new version as well as for a new state.
  onNews() {
    // The first call may come before the constructor is through.
    if (this.history === undefined || this.waits) return;
    this.waits = true;
    queueMicrotask(() => {
      this.waits = false;
      this.take();
    });
  }

  take() {
    const { feed } = this;
    let isNew = false;
    if (!isShown(feed)) {
      // An expired or withdrawn document is forgotten, with all that was shown before it.
      if (this.newest !== null) {
        this.newest = this.drawn = null;
        this.history.clear();
      }
    } else if (feed.version !== this.newest?.version) {
      isNew = true;
      this.newest = new Version(feed.version, feed.text);
      this.history.add(this.newest);
    }
    this.update(isNew);
    this.draw();
  }

  update(isNew) {
    this.state.update();
    this.connection.update(isNew);
  }

  pin(version) {
    this.pinned = version;
    this.draw();
  }

  // Draws what is to be shown. A page that nobody sees draws nothing.
  draw() {
    if (document.hidden) return;
    const shown = this.pinned ?? this.newest;
    document.body.classList.toggle("empty", shown === null);
    document.body.dataset.condition = condition(this.feed);
    if (shown === null) {
      this.showNothing();
      return;
    }
    const value = shown.value;
    const given = isObject(value) ? value.get("title") : null;
    this.title = typeof given === "string" && given !== "" ? given.slice(0, 200) : name;
    write(byId("title"), this.title);
    document.title = this.title;
    if (value === undefined) this.showText(shown);
    else this.showValue(shown, value);
    this.overlaid.update(shown === this.newest ? this.feed.overlay ?? [] : [], value);
  }

  showValue(shown, value) {
    const facts = isObject(value) && value.get("kind") === "election" ? plain(value) : null;
    const election = facts !== null && isElection(facts);
    if (election) {
      this.election ??= new Election();
      if (this.drawn !== shown) this.election.update(facts);
    }
    this.arrange(election);
    this.raw.hidden = true;
    this.tree.element.hidden = this.tools.hidden = false;
    this.search.update(value);
    // A second look at the same version would take the marks of its changes away.
    if (this.treeShows !== shown && (!election || this.whole.open)) {
      this.treeShows = shown;
      this.tree.update(value);
    }
    this.drawn = shown;
  }

  // Without an election, the document is all that the page shows. With one, it is at the end.
  arrange(election) {
    this.whole.hidden = !election;
    const main = byId("main");
    if (election && this.election.element.parentNode !== main) main.replaceChildren(this.election.element);
    if (!election && this.plainView.parentNode !== main) main.replaceChildren(this.plainView);
    if (election && this.plainView.parentNode !== this.whole) this.whole.append(this.plainView);
  }

  showText(shown) {
    this.arrange(false);
    this.tree.element.hidden = this.tools.hidden = true;
    this.raw.hidden = false;
    write(this.raw, shown.text);
  }

  showNothing() {
    this.tree.clear();
    this.overlaid.update([], null);
    this.treeShows = null;
    this.election = null;
    this.search.update(null);
    write(this.raw, "");
    this.arrange(false);
    this.tools.hidden = true;
    this.raw.hidden = true;
  }

  reveal(path) {
    return this.tree.reveal(path);
  }
}

new Page();
