'use strict';
// A map on a page of Skyline: pictures and polygons of rasters, in their own pixels. Texts are set as text, never as HTML.

for (const block of document.querySelectorAll('.map')) startMap(block);

function startMap(block) {
  const views = JSON.parse(block.querySelector('script').textContent);
  const find = (name) => block.querySelector(name);
  const slider = find('.map-show input'), opacity = find('.map-opacity'), colors = find('.map-color select');
  let view, map, layers, current;

  fill(find('.map-views select'), views.map((one) => one.title));
  find('.map-views').hidden = views.length < 2;
  find('.map-views select').onchange = (event) => show(views[event.target.selectedIndex]);
  slider.oninput = opacity.oninput = fade;
  colors.onchange = paint;
  find('.map-back').onclick = () => step(-1);
  find('.map-next').onclick = () => step(1);
  find('.map-full').hidden = !document.fullscreenEnabled;
  find('.map-full').onclick = () => (document.fullscreenElement ? document.exitFullscreen() : block.requestFullscreen());
  find('.map-canvas').onpointermove = find('.map-canvas').onpointerdown = (event) => {
    const { lat, lng } = map.mouseEventToLatLng(event);
    find('.map-pointer').textContent = whereIs(lng, -lat);
  };
  new ResizeObserver(() => map.invalidateSize()).observe(find('.map-canvas'));
  show(views[0]);

  function show(chosen) {
    if (map) map.remove();
    view = chosen;
    current = -1;
    const [width, height] = view.size;
    const scale = view.place && view.place.meters_per_px;
    const crs = L.extend({}, L.CRS.Simple, { distance: (a, b) => (scale || 1) * L.CRS.Simple.distance(a, b) });
    const lowest = -Math.max(...view.pictures.map((one) => one.coarsest)) - 2;
    map = L.map(find('.map-canvas'), { crs, minZoom: lowest, maxZoom: 4, attributionControl: false, zoomSnap: 0.25 });
    const whole = L.latLngBounds([-height, 0], [0, width]);
    map.fitBounds(whole);
    map.setMaxBounds(whole.pad(0.5));
    if (scale) L.control.scale({ maxWidth: 160, imperial: false }).addTo(map);
    layers = [
      ...view.pictures.map((data, index) => ({ data, ...addPicture(data, pane(index), whole) })),
      ...view.shapes.map((data, index) => ({ data, ...addShapes(data, pane(view.pictures.length + index)) })),
    ];
    find('.map-canvas').setAttribute('aria-label', `Map of ${view.title}; arrows move it, plus and minus zoom`);
    find('.map-pointer').textContent = whereIs(width / 2, height / 2);
    if (slider.max !== String(layers.length - 1)) { // else another raster is compared at the same place
      slider.max = slider.value = layers.length - 1;
    }
    find('.map-show').hidden = layers.length < 2;
    find('.map-stops').replaceChildren(...layers.map(({ data }, index) => {
      const button = make('button', data.name);
      button.type = 'button';
      button.onclick = () => { slider.value = index; fade(); };
      return button;
    }));
    const names = [...new Set(view.shapes.flatMap((one) => one.colorings.map((coloring) => coloring.name)))];
    fill(colors, names);
    find('.map-color').hidden = names.length < 2;
    find('.map-steps').hidden = !view.shapes.some((one) => one.rows.length);
    find('.map-status').textContent = '';
    find('.map-notes').replaceChildren(...view.notes.map((note) => make('li', note)));
    paint();
    fade();
  }

  function pane(index) {
    const element = map.createPane(`layer-${index}`);
    element.style.zIndex = 300 + index;
    return `layer-${index}`;
  }

  function addPicture(data, name, bounds) {
    const Tiles = L.GridLayer.extend({
      createTile({ x, y, z }) {
        const tile = make('img');
        tile.alt = '';
        const content = data.tiles[`${-z}/${x}/${y}`];
        if (content) tile.src = `data:image/webp;base64,${content}`;
        return tile;
      },
    });
    const zooms = { minNativeZoom: -data.coarsest, maxNativeZoom: -data.finest, minZoom: map.getMinZoom(), maxZoom: 4 };
    new Tiles({ pane: name, tileSize: 512, bounds, noWrap: true, ...zooms }).addTo(map);
    return { pane: map.getPane(name), polygons: [] };
  }

  function addShapes(data, name) {
    const renderer = L.canvas({ pane: name, padding: 0.3, tolerance: 4 });
    const polygons = data.outlines.map((rings, index) => {
      const places = rings.map((ring) => pairs(ring).map(([x, y]) => [-y * data.unit, x * data.unit]));
      const polygon = L.polygon(places, { renderer, pane: name, weight: 2, fillOpacity: 0.25 });
      return polygon.bindPopup(() => describe(data, index), { maxWidth: Math.min(300, map.getSize().x - 80) }).addTo(map);
    });
    return { pane: map.getPane(name), polygons };
  }

  function fade() {
    layers.forEach((layer, index) => {
      const share = index ? Math.max(0, 1 - Math.abs(slider.value - index)) * opacity.value : 1;
      layer.pane.style.opacity = share;
      layer.pane.style.visibility = share > 0.01 ? '' : 'hidden'; // what is not seen takes no clicks
      layer.isSeen = share > 0.01;
    });
    const nearest = Math.round(slider.value);
    slider.setAttribute('aria-valuetext', layers[nearest].data.name);
    [...find('.map-stops').children].forEach((one, index) => one.setAttribute('aria-pressed', index === nearest));
    find('.map-legend').replaceChildren(...layers.filter((layer) => layer.isSeen).map(legend).filter(Boolean));
  }

  function paint() {
    for (const { data, polygons } of layers) {
      polygons.forEach((one, index) => one.setStyle({ color: coloringOf(data).colors[index] }));
    }
    fade();
  }

  function coloringOf(data) {
    return data.colorings.find((one) => one.name === colors.value) || data.colorings[0];
  }

  function legend({ data }) {
    const keys = data.colorings ? coloringOf(data).keys : data.keys;
    if (!keys.length) return null;
    const what = data.colorings ? `${data.name} by ${coloringOf(data).name}:` : `${data.name}:`;
    const box = make('div', what);
    for (const key of keys) {
      const item = make('span'), swatch = make('i');
      swatch.style.background = key.color;
      item.append(swatch, key.count ? `${key.label} (${key.count})` : key.label);
      box.append(item);
    }
    return box;
  }

  function step(by) {
    const layer = layers.findLast((one) => one.isSeen && one.polygons.length) || layers.findLast((one) => one.polygons.length);
    const { data, polygons } = layer, last = polygons.length - 1;
    if (!layer.isSeen) {
      slider.value = layers.indexOf(layer);
      fade();
    }
    current = by > 0 ? (current < last ? current + 1 : 0) : current > 0 ? current - 1 : last;
    const polygon = polygons[current];
    const bounds = polygon.getBounds();
    map.fitBounds(bounds.pad(2), { maxZoom: 1, animate: false });
    polygon.openPopup([bounds.getNorth(), bounds.getCenter().lng]);
    const facts = data.columns.map((name, place) => `${name} ${text(data.rows[current][place])}`);
    find('.map-status').textContent = `${data.name}, ${current + 1} of ${polygons.length}: ${facts.join(', ')}`;
  }

  function describe(data, index) {
    const table = make('table');
    data.columns.forEach((name, place) => {
      const row = make('tr');
      row.append(make('th', name), make('td', text(data.rows[index][place])));
      table.append(row);
    });
    return table;
  }

  function whereIs(column, row) {
    const parts = [`column ${column.toFixed(1)}, row ${row.toFixed(1)}`];
    const place = view.place;
    if (place && !place.is_geographic) {
      const [a, b, c, d, e, f] = place.transform;
      const digits = Math.max(0, Math.min(8, 1 - Math.floor(Math.log10(Math.hypot(a, d)))));
      const [x, y] = [a * column + b * row + c, d * column + e * row + f].map((value) => value.toFixed(digits));
      parts.push(`x ${x}, y ${y}${place.crs ? ` (${place.crs})` : ''}`);
    }
    if (place && place.degrees) {
      const [longitude, latitude] = interpolate(place.degrees, column / view.size[0], row / view.size[1]);
      parts.push(`longitude ${longitude.toFixed(6)}°, latitude ${latitude.toFixed(6)}°`);
    }
    return parts.join(' · ');
  }
}

function interpolate(grid, across, down) {
  const cell = (share, count) => {
    const place = share * (count - 1), first = Math.max(0, Math.min(count - 2, Math.floor(place)));
    return [first, place - first];
  };
  const [row, v] = cell(down, grid.length), [column, u] = cell(across, grid[0].length);
  return [0, 1].map((axis) => {
    const at = (r, c) => grid[row + r][column + c][axis];
    return (1 - v) * ((1 - u) * at(0, 0) + u * at(0, 1)) + v * ((1 - u) * at(1, 0) + u * at(1, 1));
  });
}

function make(tag, content = '') {
  const element = document.createElement(tag);
  element.textContent = content;
  return element;
}

function fill(select, names) {
  select.replaceChildren(...names.map((name) => make('option', name)));
}

function pairs(numbers) {
  return Array.from({ length: numbers.length / 2 }, (_, index) => [numbers[2 * index], numbers[2 * index + 1]]);
}

function text(value) {
  return value === null ? '–' : String(value);
}
