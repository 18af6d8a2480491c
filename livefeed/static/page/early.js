// Sets the theme before anything is painted. This is no module, because modules run later.
"use strict";

try {
  const theme = localStorage.getItem("livefeed.page.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage, the theme of the system is used.
}
