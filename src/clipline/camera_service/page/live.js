/** What changes on the server, while it changes. */

const AGAIN_MS = 3000;
const HIDDEN_MS = 30_000;

/**
 * @param {Object<string, function(Object)>} handlers by the event's name
 * @param {function(boolean, boolean)} onState told whether the connection is there, and whether one was lost before:
 *   everything may be old then
 * @return {Promise} of the first answer, good or bad
 */
export function listen(handlers, onState) {
  let source = null;
  let lost = false;
  let timer = 0;
  let answered = null;
  const first = new Promise((resolve) => { answered = resolve; });

  function open() {
    source = new EventSource("/events");
    for (const [name, handler] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
    }
    source.addEventListener("open", () => {
      answered();
      onState(true, lost);
      lost = false;
    });
    source.addEventListener("error", () => {
      answered();
      lost = true;
      onState(false, true);
      if (source?.readyState === EventSource.CLOSED) timer = setTimeout(open, AGAIN_MS);
    });
  }

  /** Browsers open six connections to a server, for all of its pages together: one that nobody sees lets go. */
  function close() {
    source?.close();
    source = null;
    lost = true;
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(close, HIDDEN_MS);
    else if (!source || source.readyState === EventSource.CLOSED) open();
  });
  open();
  return first;
}
