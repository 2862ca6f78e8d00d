/** What changes on the server, while it changes. */

/**
 * @param {Object<string, function(Object)>} handlers by the event's name
 * @param {function(boolean)} onState told whether the connection is there; after a loss everything may be old
 */
export function listen(handlers, onState) {
  let lost = false;
  const source = new EventSource("/events");
  for (const [name, handler] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handler(JSON.parse(event.data)));
  }
  source.addEventListener("open", () => {
    onState(true, lost);
    lost = false;
  });
  source.addEventListener("error", () => {
    lost = true;
    onState(false, true);
    if (source.readyState === EventSource.CLOSED) setTimeout(() => listen(handlers, onState), 3000);
  });
}
