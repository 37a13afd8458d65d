// Inline SVG charts: axes, ticks and the tooltip.
const Chart = (() => {
  const MARGIN = { left: 52, right: 14, top: 24, bottom: 44 };

  function frame({ width, height, x, y, label, title }) {
    const inner = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
    const sx = scale(x, inner.left, inner.right);
    const sy = scale(y, inner.bottom, inner.top);
    const node = svg('svg', { class: 'plot', viewBox: `0 0 ${width} ${height}`, width, height, role: 'img', 'aria-label': label });
    if (title) node.append(svg('text', { x: inner.left, y: 15, class: 'title' }, title));
    for (const value of x.ticks) {
      const at = sx(value);
      node.append(
        svg('line', { x1: at, x2: at, y1: inner.top, y2: inner.bottom, class: 'grid' }),
        svg('text', { x: at, y: inner.bottom + 17, 'text-anchor': 'middle' }, x.format(value)),
      );
    }
    for (const value of y.ticks) {
      const at = sy(value);
      node.append(
        svg('line', { x1: inner.left, x2: inner.right, y1: at, y2: at, class: 'grid' }),
        svg('text', { x: inner.left - 7, y: at + 4, 'text-anchor': 'end' }, y.format(value)),
      );
    }
    const middle = (inner.top + inner.bottom) / 2;
    node.append(
      svg('text', { x: (inner.left + inner.right) / 2, y: height - 8, 'text-anchor': 'middle' }, x.label),
      svg('text', { x: 13, y: middle, 'text-anchor': 'middle', transform: `rotate(-90 13 ${middle})` }, y.label),
    );
    return { node, sx, sy, inner };
  }

  function scale({ domain, log }, from, to) {
    const map = log ? (value) => Math.log10(Math.max(value, domain[0])) : (value) => value;
    const [low, high] = domain.map(map);
    return (value) => from + ((map(value) - low) / (high - low)) * (to - from);
  }

  function share(label, low = 0, high = 1, step = 0.2) {
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k <= high / step + 1e-9; k += 1) ticks.push(k * step);
    return { domain: [low, high], ticks, format: (value) => Math.round(100 * value).toString().replace('-', '−'), label };
  }

  function path(points, properties) {
    const line = points.map(([x, y], k) => `${k ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('');
    return svg('path', { d: line || 'M0 0', fill: 'none', 'stroke-width': 2, ...properties });
  }

  // Groups differ in shape as well as in colour.
  function marker(group, x, y, size, properties) {
    const s = size;
    const shapes = {
      r: `M${x - s} ${y + s}L${x} ${y - s * 1.1}L${x + s} ${y + s}Z`,
      c: `M${x - s} ${y - s}h${2 * s}v${2 * s}h${-2 * s}Z`,
    };
    if (shapes[group]) return svg('path', { d: shapes[group], ...properties });
    return svg('circle', { cx: x, cy: y, r: s * 1.1, ...properties });
  }

  const box = document.getElementById('tip');
  function tip(text, event) {
    box.hidden = !text;
    if (!text) return;
    box.textContent = text;
    const wide = document.documentElement.clientWidth;
    box.style.left = `${Math.max(8, Math.min(event.pageX + 14, scrollX + wide - box.offsetWidth - 8))}px`;
    box.style.top = `${event.pageY + 14}px`;
  }

  return { frame, share, path, marker, tip };
})();
