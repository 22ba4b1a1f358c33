// Prints what was tried in the form that tests/tools/run counts, see there.
import { setTimeout as sleep } from 'node:timers/promises'

// The longest that one thing may take.
const LIMIT_MS = 60_000

// The cluster does not serve what this takes; the text says what.
export class Skip extends Error {}

let count = 0

export async function check(what, trying) {
  count += 1
  const late = new AbortController()
  const limit = sleep(LIMIT_MS, undefined, { signal: late.signal }).then(
    () => { throw new Error(`not done within ${LIMIT_MS} ms`) }, () => {})
  try {
    await Promise.race([trying(), limit])
    console.log(`ok - ${what}`)
  } catch (error) {
    if (error instanceof Skip) {
      console.log(`ok - ${what} # SKIP ${error.message}`)
    } else {
      console.error(error)
      console.log(`not ok - ${what}: ${String(error.message ?? error).replaceAll('\n', ' ').slice(0, 400)}`)
    }
  } finally {
    late.abort()
  }
}

export function done() {
  console.log(`1..${count}`)
}

// Waits until `look` gives something, and returns it. What does not come may be told by a function.
export async function until(what, look) {
  const end = Date.now() + 20_000
  for (;;) {
    const found = await look()
    if (found) return found
    if (Date.now() > end) throw new Error(`after 20 s still not: ${typeof what === 'function' ? await what() : what}`)
    await sleep(50)
  }
}
