// The trace events: columns, and the text of those that are looked at.
"use strict"

vfiokit.EventStore = class {
  constructor(about, data) {
    const octets = new Uint8Array(data)
    const column = (number) => vfiokit.column(about.heads[number], octets)
    this.count = about.count
    this.seq = vfiokit.double(column(about.seq))
    this.time = vfiokit.double(column(about.time))
    this.side = vfiokit.small(column(about.side))
    this.thread = vfiokit.small(column(about.thread))
    this.template = vfiokit.small(column(about.template))
    this.sides = about.sides
    this.threads = about.threads
    this.strings = about.strings
    this.devices = about.devices
    // Of each event, which one of its template it is: the place of its arguments.
    const passed = new Uint32Array(about.templates.length)
    this.place = new Uint32Array(this.count)
    for (let i = 0; i < this.count; i++) this.place[i] = passed[this.template[i]]++
    this.templates = about.templates.map((one, number) => this.prepared(one, passed[number], column))
  }

  prepared(one, count, column) {
    const columns = one.columns.map((number) => number < 0 ? null : column(number))
    const readers = [...one.signature].map((letter, a) => {
      if (letter === "n") return () => null
      const {low, high} = columns[a]
      if (letter === "s") return (place) => this.strings[low[place]]
      const value = {low: 0, high: 0, negative: letter === "q"}
      return (place) => {
        value.low = low[place]
        value.high = high[place]
        return value
      }
    })
    const pieces = one.parts.map((part) => {
      if (typeof part === "string") return () => part
      const read = readers[part.a], print = vfiokit.printer(part)
      return (place) => print(read(place))
    })
    // An event that begins with a string begins with its device, or with a region.
    const first = one.signature.startsWith("s") ? columns[0].low : null
    return {name: one.name, count, pieces, first}
  }

  name(i) {
    return this.templates[this.template[i]].name
  }

  text(i) {
    const place = this.place[i]
    let text = ""
    for (const piece of this.templates[this.template[i]].pieces) text += piece(place)
    return text
  }

  // The number of the string that is the event's device; -1 if it has none.
  device(i) {
    const {first} = this.templates[this.template[i]]
    return first === null ? -1 : first[this.place[i]]
  }

  // The last event at or before an access; -1 before the first.
  until(seq) {
    let low = 0, high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.seq[middle] <= seq) low = middle + 1
      else high = middle
    }
    return low - 1
  }
}
