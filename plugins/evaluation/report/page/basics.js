// The data of the page and the few helpers that every section uses.
const report = JSON.parse(document.getElementById('report-data').textContent);
const { runs, categories } = report;
const GROUPS = { r: 'rare', c: 'common', f: 'frequent' };

function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  apply(node, properties);
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

function svg(tag, properties = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  apply(node, properties);
  node.append(...children.flat());
  return node;
}

function apply(node, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name.startsWith('--')) node.style.setProperty(name, value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
}

function body(section) {
  return document.querySelector(`#${section} .body`);
}

function percent(value, digits = 2) {
  return value === null || value === undefined ? '–' : (100 * value).toFixed(digits);
}

function signed(value, digits = 2) {
  if (value === null || value === undefined) return '–';
  const text = (100 * value).toFixed(digits);
  return value > 0 ? `+${text}` : text.replace('-', '−');
}

function difference(value, base) {
  return value === null || base === null || value === undefined || base === undefined ? null : value - base;
}

function direction(value) {
  if (value === null || value === 0) return '';
  return value > 0 ? 'up' : 'down';
}

function count(value) {
  return value === null || value === undefined ? '–' : value.toLocaleString('en-GB');
}

function runColour(index) {
  return `var(--run${index % 6})`;
}

function swatch(colour) {
  return el('span', { class: 'swatch', style: `background:${colour}`, 'aria-hidden': 'true' });
}

function groupBadge(group) {
  return group ? el('abbr', { class: `group ${group}`, title: GROUPS[group] }, group) : '';
}

function select(label, options, value, onchange) {
  const input = el(
    'select',
    { 'aria-label': label, onchange: (event) => onchange(event.target.value) },
    options.map(([key, text]) => el('option', { value: key, selected: String(key) === String(value) }, text)),
  );
  return el('div', {}, el('label', { 'aria-hidden': 'true' }, label), input);
}

// Matches a part of the name, or the whole id.
function findCategories(query) {
  const wanted = query.trim().toLowerCase();
  const all = categories.id.map((_, index) => index);
  if (!wanted) return all;
  return all.filter((index) => searchNames[index].includes(wanted) || String(categories.id[index]) === wanted);
}
const searchNames = categories.name.map((name) => name.toLowerCase() + ' ' + name.toLowerCase().replaceAll('_', ' '));
