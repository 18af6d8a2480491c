import { useLayoutEffect, useRef } from "react";

/**
 * Tells how often the component around it was drawn. An effect without dependencies runs with each drawing of the
 * component that it belongs to, and this one is drawn whenever its parent is.
 */
export function Drawn({ name }) {
  const text = useRef(null);
  const count = useRef(0);
  useLayoutEffect(() => {
    count.current += 1;
    text.current.textContent = `drawn ${count.current}×`;
  });
  return <small className="drawn" data-drawn={name} ref={text} />;
}
