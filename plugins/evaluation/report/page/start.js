// The head of the page, and navigation that keeps the rest of the address.
document.getElementById('source').textContent = report.source_words;
document.getElementById('runs').replaceChildren(...runs.map((run, k) => el(
  'li',
  {},
  swatch(runColour(k)),
  el('b', {}, run.name),
  ` ${count(run.detections)} detections, ${run.source}`,
  run.warnings.map((warning) => el('div', { class: 'warning note' }, warning)),
)));

function goTo(section) {
  const node = document.getElementById(section);
  if (!node) return;
  node.scrollIntoView();
  node.querySelector('h2').setAttribute('tabindex', -1);
  node.querySelector('h2').focus({ preventScroll: true });
}
for (const link of document.querySelectorAll('nav a')) {
  link.addEventListener('click', (event) => {
    event.preventDefault();
    State.set({ section: link.dataset.section });
    goTo(link.dataset.section);
  });
}
State.listen(['section'], () => goTo(State.get('section', '')));
if (State.get('section')) goTo(State.get('section'));
