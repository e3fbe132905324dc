// The page's side of DirtyCanvas (vfiokit/notebook/canvas.py): paints the frame of the traits, tells of the
// cell under pointer or cursor. All texts are set as text, never as HTML.

const RESTED = 150 // ms on a cell after which the kernel is asked to say more of it

const hex = (number) => "0x" + number.toString(16)

function make(name, className, parent) {
  const element = document.createElement(name)
  if (className) element.className = className
  parent.append(element)
  return element
}

// One pixel's 32 bits, in the machine's order, for each of the 256 levels.
function pixels(palette) {
  const canvas = document.createElement("canvas")
  canvas.width = 256
  canvas.height = 1
  const paint = canvas.getContext("2d", { willReadFrequently: true })
  for (let level = 0; level < 256 && palette.length; level++) {
    paint.fillStyle = palette[Math.min(level, palette.length - 1)]
    paint.fillRect(level, 0, 1, 1)
  }
  return new Uint32Array(paint.getImageData(0, 0, 256, 1).data.buffer)
}

// The highest level of the cells that share a pixel: a lone dirty one is seen.
function highest(levels, columns, rows, width, height) {
  if (width === columns && height === rows) return levels
  const found = new Uint8Array(width * height)
  const across = Uint32Array.from({ length: columns }, (_, column) => Math.floor((column * width) / columns))
  for (let row = 0, cell = 0; row < rows; row++) {
    const start = Math.floor((row * height) / rows) * width
    for (let column = 0; column < columns; column++, cell++) {
      const at = start + across[column]
      if (levels[cell] > found[at]) found[at] = levels[cell]
    }
  }
  return found
}

class View {
  constructor(model, el) {
    this.model = model
    this.cell = null // the one told of
    this.more = "" // what the kernel says of it
    el.classList.add("vfiokit-canvas")
    this.place = make("div", "place", el)
    this.canvas = make("canvas", "", this.place)
    this.paint = this.canvas.getContext("2d")
    this.cursor = make("div", "cursor", this.place)
    this.tip = make("div", "tip", this.place)
    this.legend = make("ul", "legend", el)
    this.note = make("p", "note", el)
    this.cursor.hidden = this.tip.hidden = true
    this.canvas.tabIndex = 0
    this.canvas.setAttribute("role", "img")
    this.tip.setAttribute("role", "status")
    this.canvas.addEventListener("pointermove", (event) => this.point(event))
    this.canvas.addEventListener("pointerleave", () => this.tell(null))
    this.canvas.addEventListener("keydown", (event) => this.key(event))
    this.canvas.addEventListener("blur", () => this.tell(null))
    this.resized = new ResizeObserver(() => this.frame())
    this.resized.observe(this.canvas)
    this.look()
    this.frame()
  }

  get(name) {
    return this.model.get(name)
  }

  // Palette, legend and sizes.
  look() {
    const palette = this.get("palette")
    this.pixels = pixels(palette)
    this.canvas.style.height = `${this.get("height")}px`
    this.canvas.setAttribute("aria-label", `${this.get("label")}. Arrow keys move from cell to cell.`)
    this.legend.replaceChildren()
    const colours = new Map()
    this.get("meanings").forEach((text, level) => {
      colours.set(text, [...(colours.get(text) ?? []), palette[level] ?? "transparent"])
    })
    for (const [text, shades] of colours) {
      const entry = make("li", "", this.legend)
      make("span", "swatch", entry).style.background =
        shades.length > 1 ? `linear-gradient(to right, ${shades.join(", ")})` : shades[0]
      entry.append(text)
    }
  }

  frame() {
    const [rows, columns] = this.get("shape")
    const data = this.get("levels")
    const note = this.get("note")
    if (this.note.textContent !== note) this.note.textContent = note
    this.rows = rows
    this.columns = columns
    this.levels = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    if (!rows || !columns || this.levels.length < rows * columns) return
    const { canvas, pixels } = this
    // No more pixels than the screen has: what is made smaller is made so here, where no level gets lost.
    const width = Math.min(columns, Math.round(canvas.clientWidth * devicePixelRatio) || columns)
    const height = Math.min(rows, Math.round(canvas.clientHeight * devicePixelRatio) || rows)
    if (canvas.width !== width || canvas.height !== height || !this.image) {
      canvas.width = width
      canvas.height = height
      this.image = this.paint.createImageData(width, height)
      this.words = new Uint32Array(this.image.data.buffer)
    }
    const levels = highest(this.levels, columns, rows, width, height)
    const { words } = this
    for (let i = 0; i < words.length; i++) words[i] = pixels[levels[i]]
    this.paint.putImageData(this.image, 0, 0)
    if (this.cell !== null) this.again()
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect()
    const column = Math.floor(((event.clientX - box.left) / box.width) * this.columns)
    const row = Math.floor(((event.clientY - box.top) / box.height) * this.rows)
    const inside = column >= 0 && column < this.columns && row >= 0 && row < this.rows
    this.tell(inside ? row * this.columns + column : null)
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }
    const count = this.rows * this.columns
    let to
    if (event.key === "Escape") to = null
    else if (event.key === "Home") to = 0
    else if (event.key === "End") to = count - 1
    else if (event.key in steps) to = this.cell === null ? 0 : this.cell + steps[event.key]
    else return
    event.preventDefault()
    event.stopPropagation() // the notebook moves between cells with the same keys
    if (to === null || (to >= 0 && to < count)) this.tell(to)
  }

  tell(cell) {
    if (cell === this.cell) return
    this.cell = cell
    this.more = ""
    this.level = undefined
    this.cursor.hidden = this.tip.hidden = cell === null
    clearTimeout(this.rest)
    if (cell !== null) this.again()
  }

  // The cell is the same, what is in it may not be.
  again() {
    const { cell, columns, rows, cursor, tip } = this
    if (cell >= rows * columns) return this.tell(null)
    const level = this.levels[cell]
    if (level !== this.level && this.get("asks")) {
      clearTimeout(this.rest)
      this.rest = setTimeout(() => send(this.model, { cell }), RESTED)
    }
    this.level = level
    this.write()
    const row = Math.floor(cell / columns)
    const column = cell % columns
    const x = ((column + 0.5) / columns) * 100
    const y = ((row + 0.5) / rows) * 100
    Object.assign(cursor.style, {
      left: `${x}%`, top: `${y}%`, width: `${100 / columns}%`, height: `${100 / rows}%`,
    })
    // On the side where there is room.
    Object.assign(tip.style, {
      left: x < 50 ? `calc(${x}% + 12px)` : "auto",
      right: x < 50 ? "auto" : `calc(${100 - x}% + 12px)`,
      top: y < 50 ? `calc(${y}% + 12px)` : "auto",
      bottom: y < 50 ? "auto" : `calc(${100 - y}% + 12px)`,
    })
  }

  write() {
    const each = BigInt(this.get("each"))
    const first = BigInt(this.get("first")) + BigInt(this.cell) * each
    const pages = each === 1n ? `page ${hex(first)}` : `pages ${hex(first)} – ${hex(first + each - 1n)}`
    const lines = [pages, `address ${hex(first * BigInt(this.get("page_size")))}`]
    const meanings = this.get("meanings")
    const meaning = meanings[Math.min(this.level, meanings.length - 1)]
    if (meaning) lines.push(meaning)
    if (this.more) lines.push(this.more)
    const text = lines.join("\n")
    if (this.tip.textContent !== text) this.tip.textContent = text
  }

  // The kernel's answer.
  hear(content) {
    if (content.kind !== "cell" || content.cell !== this.cell) return
    this.more = content.text
    this.write()
  }

  close() {
    clearTimeout(this.rest)
    this.resized.disconnect()
  }
}

export default () => {
  const views = new Set()

  return {
    initialize({ model }) {
      model.on("change:seq", () => {
        answer(model, model.get("seq"))
        for (const view of views) view.frame()
      })
      model.on("change:palette change:meanings change:height change:label", () => {
        for (const view of views) {
          view.look()
          view.frame()
        }
      })
      model.on("change:note", () => {
        for (const view of views) view.note.textContent = model.get("note")
      })
      model.on("msg:custom", (content) => {
        for (const view of views) view.hear(content)
      })
    },
    render({ model, el }) {
      const view = new View(model, el)
      views.add(view)
      return () => {
        views.delete(view)
        view.close()
      }
    },
  }
}
