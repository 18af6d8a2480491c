// The WebSocket: one connection for all documents of a line, with the messages of livefeed.delta.v2.

import { delayOfClose, onAbort } from "./slots.js";

/**
 * Follows all documents of a line, until the WebSocket is closed, or a signal is given.
 *
 * @returns {Promise<number | undefined>} See {@link delayOfClose}.
 */
export function websocket(line, signal) {
  return new Promise((resolve) => {
    const [first] = line.feeds;
    first.isPolled = false;
    const query = first.have ? `?have=${first.have}` : "";
    const socket = new line.WebSocket(first.urlOf(".ws").replace("http", "ws") + query, ["livefeed.delta.v2"]);
    socket.onopen = () => {
      line.send = (message) => socket.send(JSON.stringify(message));
      for (const feed of line.feeds) line.enter(feed);
    };
    socket.onmessage = ({ data }) => line.receive(data);
    // It says nothing, and "close" follows. In Node, an error without a listener ends the program.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => resolve(delayOfClose(code, reason));
    onAbort(signal, () => {
      socket.onmessage = null;
      socket.close();
      resolve();
    });
  });
}
