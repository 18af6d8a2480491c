// The facts that the server shows to everybody, which the page is told when it is made.

// Whether the server shows a fact: "figures" or "reasons".
export const isShownByServer = (fact) => document.body.dataset.shows.split(" ").includes(fact);
