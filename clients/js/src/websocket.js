// The WebSocket: one connection for all documents of a line, with the messages of livefeed.delta.v2.

import { delayOfClose } from "./closes.js";

/**
 * Follows all documents of a line, until the WebSocket is closed, or a signal is given.
 *
 * @param {AbortSignal} signal Has not been given yet.
 * @returns {Promise<number | undefined>} See {@link delayOfClose}.
 */
export function websocket(stream, signal) {
  return new Promise((resolve) => {
    const [first] = stream.wanted;
    first.isPolled = false;
    const query = first.have ? `?have=${first.have}` : "";
    const url = first.urlOf(".ws").replace("http", "ws") + query;
    const { WebSocket = globalThis.WebSocket } = stream.line.options;
    const socket = new WebSocket(url, ["livefeed.delta.v2"]);
    socket.onopen = () => {
      stream.send = (message) => socket.send(JSON.stringify(message));
      for (const feed of stream.line.feeds) stream.enter(feed);
    };
    socket.onmessage = ({ data }) => stream.receive(data);
    // It says nothing, and "close" follows. In Node, an error without a listener ends the program.
    socket.onerror = () => {};
    socket.onclose = ({ code, reason }) => resolve(delayOfClose(code, reason));
    signal.addEventListener("abort", () => {
      socket.onmessage = null;
      socket.close();
      resolve();
    });
  });
}
