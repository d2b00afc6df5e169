'use strict';
// The server makes the page; this fetches it again when something has happened, at most once a second.
const live = document.querySelector('#live'), pause = document.querySelector('#pause'), state = document.querySelector('#state');
const INTERVAL = 1000, IDLE = 10000;
let stream = null, timer = 0;

const refresh = () => {
  // A document that is asked for as such is never a text that is made into markup here.
  const request = new XMLHttpRequest();
  request.open('GET', location.pathname);
  request.responseType = 'document';
  request.timeout = 5000;
  request.onload = () => {
    const fresh = request.status === 200 && request.response && request.response.querySelector('#live');
    if (!fresh) return;
    const focused = live.contains(document.activeElement) && document.activeElement.getAttribute('href');
    live.replaceChildren(...fresh.childNodes);
    if (focused) live.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  };
  request.send();
};

const follow = () => {
  stream = new EventSource('/events');
  // What came before it was open is on the page, and what comes later is told.
  stream.onopen = () => { state.textContent = 'Live.'; refresh(); };
  stream.onerror = () => { state.textContent = 'No connection: what is shown is old.'; };
  stream.onmessage = () => { stream.close(); timer = setTimeout(follow, INTERVAL); };
};

pause.hidden = false;
pause.addEventListener('click', () => {
  const paused = pause.getAttribute('aria-pressed') !== 'true';
  pause.setAttribute('aria-pressed', paused);
  clearTimeout(timer);
  stream.close();
  if (paused) state.textContent = 'Paused.'; else follow();
});
// Rates fall where nothing happens.
setInterval(() => { if (stream.readyState === EventSource.OPEN) refresh(); }, IDLE);
follow();
