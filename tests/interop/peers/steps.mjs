// What the peers in JavaScript share, as steps.py is for those in Python: the emulator's control paths, and a
// record of each step. The first argument is the emulator's address.

const issuer = process.argv[2];
const steps = {};

/** A request to the emulator's control paths. */
export async function control(path, body, method = body === undefined ? "GET" : "POST") {
  const reply = await fetch(`${issuer}/_emulator/${path}`, {
    method,
    headers: { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await reply.text();
  return text ? JSON.parse(text) : null;
}

/** Let a fault happen. */
export async function arm(fault, times = 1) {
  await control("faults", { name: fault, times });
}

/** One thing that a user does; an error is noted like an answer, and the next step is tried. */
export async function step(name, work) {
  await control("journal", undefined, "DELETE");
  const row = {};
  steps[name] = row;
  try {
    row.result = await work();
  } catch (error) {
    row.raised = error?.constructor?.name ?? typeof error;
    row.said = String(error?.message ?? error);
    row.traceback = String(error?.stack ?? error);
  }
  await control("faults", undefined, "DELETE");
  row.requests = (await control("journal")).requests;
}

/** Print every step. */
export function report() {
  process.stdout.write(`\n${JSON.stringify(steps)}\n`);
}
