// The table of events: filters, a search in slices, and as many rows as are seen.
"use strict"

vfiokit.EventTable = class {
  static ROW = 22 // pixels, as in report.css
  static TALLEST = 8e6 // pixels: browsers cut an element that is much taller
  static SLICE = 20 // ms of search before the page may breathe

  constructor(store, choose) {
    this.store = store
    this.choose = choose
    this.now = -1 // the event that is lit
    this.shown = null // numbers of the events that are left; null for all
    this.search = 0 // number of the search under way
    this.pool = []
    const find = (id) => document.getElementById(id)
    this.rows = find("rows")
    this.space = find("space")
    this.hits = find("hits")
    this.fields = {text: find("search"), name: find("by-name"), device: find("by-device"), side: find("by-side")}
    this.fill()
    for (const field of Object.values(this.fields)) field.addEventListener("input", () => this.filter())
    find("clear").addEventListener("click", () => this.clear())
    this.rows.addEventListener("scroll", () => this.draw())
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row")
      if (row) this.take(Number(row.dataset.event))
    })
    this.rows.addEventListener("keydown", (event) => this.key(event))
    new ResizeObserver(() => this.draw()).observe(this.rows)
    this.done()
  }

  get length() {
    return this.shown === null ? this.store.count : this.shown.length
  }

  event(row) {
    return this.shown === null ? row : this.shown[row]
  }

  // The last row at or before an event; -1 if all are after it.
  row(event) {
    if (this.shown === null) return event
    let low = 0, high = this.shown.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.shown[middle] <= event) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  fill() {
    const {store, fields} = this
    const counts = new Map()
    for (const one of store.templates) counts.set(one.name, (counts.get(one.name) ?? 0) + one.count)
    const option = (field, text, value) => field.append(new Option(vfiokit.plain(text), value))
    option(fields.name, "every event", "")
    for (const name of [...counts.keys()].sort())
      option(fields.name, `${name} (${counts.get(name).toLocaleString("en")})`, name)
    option(fields.device, "every device", "")
    for (const name of store.devices) option(fields.device, name, name)
    option(fields.side, "both sides", "")
    for (const name of store.sides) option(fields.side, name, name)
  }

  clear() {
    for (const field of Object.values(this.fields)) field.value = ""
    this.filter()
  }

  // Which events are left, or null; slice by slice, given up when another search begins.
  async filter() {
    const search = ++this.search
    const {store, fields} = this
    const words = fields.text.value.toLowerCase().split(/\s+/).filter(Boolean)
    // -1 for any; -2 for a device that no event begins with.
    const side = fields.side.value === "" ? -1 : store.sides.indexOf(fields.side.value)
    const known = store.strings.indexOf(fields.device.value)
    const device = fields.device.value === "" ? -1 : known < 0 ? -2 : known
    if (!words.length && side === -1 && device === -1 && fields.name.value === "") {
      this.shown = null
      return this.done()
    }
    // Words that an event's name has need not be looked for in its texts.
    const left = store.templates.map(({name}) => words.filter((word) => !name.toLowerCase().includes(word)))
    const wanted = store.templates.map(({name}) => fields.name.value === "" || name === fields.name.value)
    const found = new Uint32Array(store.count)
    let count = 0, until = performance.now() + vfiokit.EventTable.SLICE
    for (let i = 0; i < store.count; i++) {
      if (i % 2048 === 2047 && performance.now() > until) {
        this.hits.textContent = `searching … ${Math.floor(100 * i / store.count)} %`
        await new Promise((resume) => setTimeout(resume))
        if (search !== this.search) return undefined
        until = performance.now() + vfiokit.EventTable.SLICE
      }
      const template = store.template[i]
      if (!wanted[template] || (side !== -1 && store.side[i] !== side)) continue
      if (device !== -1 && store.device(i) !== device) continue
      if (left[template].length) {
        const text = store.text(i).toLowerCase()
        if (!left[template].every((word) => text.includes(word))) continue
      }
      found[count++] = i
    }
    this.shown = found.slice(0, count)
    return this.done()
  }

  done() {
    const {length, store} = this
    const all = store.count.toLocaleString("en")
    this.hits.textContent = this.shown === null ? `${all} events` : `${length.toLocaleString("en")} of ${all} events`
    this.space.style.height = `${Math.min(length * vfiokit.EventTable.ROW, vfiokit.EventTable.TALLEST)}px`
    if (this.now >= 0) this.show(this.row(this.now))
    else this.rows.scrollTop = 0
    this.draw()
  }

  // With very many rows a pixel of the scroll bar is more than a pixel of the table.
  get top() {
    const {ROW, TALLEST} = vfiokit.EventTable
    const seen = this.rows.clientHeight, tall = this.length * ROW
    if (tall <= TALLEST) return this.rows.scrollTop
    return this.rows.scrollTop / (TALLEST - seen) * (tall - seen)
  }

  show(row) {
    const {ROW, TALLEST} = vfiokit.EventTable
    if (row < 0) return
    const seen = this.rows.clientHeight, tall = this.length * ROW, top = this.top
    if (row * ROW >= top && (row + 1) * ROW <= top + seen) return
    const wanted = Math.max(0, Math.min(tall - seen, row * ROW - seen / 2))
    this.rows.scrollTop = tall <= TALLEST ? wanted : wanted / (tall - seen) * (TALLEST - seen)
  }

  draw() {
    const {ROW} = vfiokit.EventTable
    const first = Math.floor(this.top / ROW), shift = this.rows.scrollTop - (this.top % ROW)
    const last = Math.min(this.length, first + Math.ceil(this.rows.clientHeight / ROW) + 1)
    for (let k = 0; first + k < last || k < this.pool.length; k++) {
      if (first + k >= last) {
        this.pool[k].style.display = "none"
        continue
      }
      if (!this.pool[k]) this.pool.push(this.newRow())
      const line = this.pool[k], i = this.event(first + k), {store} = this
      const cells = [
        vfiokit.people_ns(store.time[i]),
        String(store.seq[i]),
        {source: "src", destination: "dst"}[store.sides[store.side[i]]] ?? store.sides[store.side[i]],
        store.name(i),
        store.text(i).trimStart(),
      ]
      cells.forEach((text, n) => { line.children[n].textContent = vfiokit.plain(text) })
      line.children[4].title = line.children[4].textContent
      line.dataset.event = i
      line.classList.toggle("now", i === this.now)
      line.setAttribute("aria-rowindex", first + k + 1)
      line.style.display = ""
      line.style.transform = `translateY(${shift + k * ROW}px)`
    }
  }

  newRow() {
    const line = document.createElement("div")
    line.className = "row"
    line.setAttribute("role", "row")
    for (let n = 0; n < 5; n++) line.append(Object.assign(document.createElement("span"), {role: "cell"}))
    this.rows.append(line)
    return line
  }

  key(event) {
    const page = Math.floor(this.rows.clientHeight / vfiokit.EventTable.ROW) - 1
    const steps = {ArrowUp: -1, ArrowDown: 1, PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity}
    if (!(event.key in steps) || !this.length) return
    event.preventDefault()
    const row = Math.max(0, Math.min(this.length - 1, this.row(this.now) + steps[event.key]))
    this.take(this.event(row))
  }

  take(i) {
    this.light(i)
    this.choose(this.store.seq[i], this.store.time[i])
  }

  // Light an event, and scroll to it.
  light(i) {
    this.now = i
    if (i >= 0) this.show(this.row(i))
    this.draw()
  }
}
