// Choices that outlive the page. A browser may forbid this storage: then they last as long as the page.

const PREFIX = "livefeed.page.";

export function recall(name) {
  try {
    return localStorage.getItem(PREFIX + name);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(PREFIX + name, value);
  } catch {
    // The choice is lost when the page is closed.
  }
}
