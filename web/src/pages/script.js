'use strict';
// Forms name a method and a path with fields in braces. What an answer calls `…_id` goes into all fields of that name.

const element = (name, text, attributes = {}) => Object.assign(document.createElement(name), { textContent: text }, attributes);

const learn = body => {
  for (const [name, value] of Object.entries(body)) {
    if (!name.endsWith('_id') || typeof value !== 'string') continue;
    for (const field of document.getElementsByName(name)) field.value = value;
  }
};

const parsed = text => {
  try { return JSON.parse(text); } catch { return null; }
};

const show = (output, answer, text, milliseconds) => {
  const body = parsed(text);
  const status = element('b', answer.status, { className: answer.ok ? 'good' : 'bad' });
  const shown = body === null ? text.slice(0, 4000) : JSON.stringify(body, null, 1).slice(0, 4000);
  output.replaceChildren(status, ` in ${milliseconds} ms `);
  if (answer.headers.has('Idempotency-Replayed')) output.append('(replayed) ');
  if (body && typeof body.type === 'string' && body.type.startsWith('/problems/')) {
    output.append(element('a', body.type, { href: body.type }));
  }
  output.append(element('pre', shown));
  if (answer.ok && body && !Array.isArray(body)) learn(body);
};

document.addEventListener('submit', async event => {
  event.preventDefault();
  const form = event.target, output = form.querySelector('output'), button = form.querySelector('button');
  const given = new FormData(form), key = given.get('Idempotency-Key');
  const path = form.dataset.path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(given.get(name).trim()));
  const options = { method: form.dataset.method, headers: { Accept: 'application/json', ...(key && { 'Idempotency-Key': key }) } };
  button.disabled = true;
  output.textContent = '…';
  const began = performance.now();
  try {
    const answer = await fetch(path, options);
    show(output, answer, await answer.text(), Math.round(performance.now() - began));
  } catch (error) {
    output.textContent = `no answer: ${error.message}`;
  }
  button.disabled = false;
  button.focus();
});
