/** What changes on the server, while it changes. */

const AGAIN_MS = 3000;
const HIDDEN_MS = 30_000;
const PATIENCE_MS = 2000;

/**
 * @param {Object<string, function(Object)>} handlers by the event's name
 * @param {function(boolean, boolean)} onState told whether the connection is there, and whether one was lost before:
 *   everything may be old then
 * @return {Promise} of the first answer, good or bad, or of none in good time
 */
export function listen(handlers, onState) {
  let source = null;
  let lost = false;
  let opening = 0;
  let closing = 0;
  let heard = false;
  let answered = null;
  const first = new Promise((resolve) => { answered = resolve; });

  function open() {
    source = new EventSource("/events");
    for (const [name, handler] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
    }
    source.addEventListener("open", () => {
      heard = true;
      answered();
      onState(true, lost);
      lost = false;
    });
    source.addEventListener("error", () => {
      answered();
      lost = true;
      onState(false, true);
      if (source?.readyState === EventSource.CLOSED) opening = setTimeout(open, AGAIN_MS);
    });
  }

  /** Browsers open six connections to a server, for all of its pages together: one that nobody sees lets go. */
  function close() {
    if (!document.hidden) return;
    clearTimeout(opening);
    source?.close();
    source = null;
    lost = true;
  }

  function look() {
    clearTimeout(closing);
    if (document.hidden) closing = setTimeout(close, HIDDEN_MS);
    else if (!source || source.readyState === EventSource.CLOSED) {
      clearTimeout(opening);
      open();
    }
  }

  document.addEventListener("visibilitychange", look);
  open();
  look();
  // Where something on the way keeps events back, all else works: what comes later is taken for a new beginning.
  return Promise.race([first, new Promise((resolve) => { setTimeout(resolve, PATIENCE_MS); })]).then(() => { lost ||= !heard; });
}
