// Blocks of the page: see vfiokit/reports/blocks.py, which packs them.
"use strict"
const vfiokit = {}

vfiokit.octets = (text) => {
  const letters = atob(text)
  const octets = new Uint8Array(letters.length)
  for (let i = 0; i < letters.length; i++) octets[i] = letters.charCodeAt(i)
  return octets
}

vfiokit.block = async (name) => {
  const packed = new Blob([vfiokit.octets(document.getElementById(name).textContent)])
  const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"))
  return new Response(stream).arrayBuffer()
}

vfiokit.json = async (name) => JSON.parse(new TextDecoder().decode(await vfiokit.block(name)))

// A column as two arrays of 32-bit halves: a JavaScript number is exact to 53 bits only.
vfiokit.column = (head, octets) => {
  const [count, width, first, differences, start] = head
  const low = new Uint32Array(count), high = new Uint32Array(count)
  for (let k = 0; k < width; k++) {
    const half = k < 4 ? low : high, shift = 8 * (k % 4), at = start + k * count
    for (let i = 0; i < count; i++) half[i] |= octets[at + i] << shift
  }
  if (differences && count) {
    let a = Number(BigInt(first) & 0xffffffffn), b = Number(BigInt(first) >> 32n)
    for (let i = 0; i < count; i++) {
      // Zigzag: an odd number stands for a negative difference.
      const flip = -(low[i] & 1)
      const lower = (((low[i] >>> 1) | (high[i] << 31)) ^ flip) >>> 0, upper = ((high[i] >>> 1) ^ flip) >>> 0
      const sum = a + lower
      a = sum >>> 0
      b = (b + upper + (sum > 0xffffffff ? 1 : 0)) >>> 0
      low[i] = a
      high[i] = b
    }
  }
  return {low, high}
}

// Counts and codes: what is below 2^32. Times and access numbers: what is exact as a double.
vfiokit.small = (column) => column.low
vfiokit.double = (column) => {
  const numbers = new Float64Array(column.low.length)
  for (let i = 0; i < numbers.length; i++) numbers[i] = (column.high[i] | 0) * 0x100000000 + column.low[i]
  return numbers
}

// Text of devices as it may be shown: what does not print is a sign (theme.py, plain).
vfiokit.plain = (text) => text.replace(/[^\P{C}]|[^\P{Z} ]/gu, "\ufffd")

vfiokit.people_ns = (ns) => {
  for (const [size, name, digits] of [[1e9, "s", 6], [1e6, "ms", 3], [1e3, "µs", 3]])
    if (Math.abs(ns) >= size) return `${(ns / size).toFixed(digits)} ${name}`
  return `${ns} ns`
}
