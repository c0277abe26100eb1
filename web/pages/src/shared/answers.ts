// What a server acknowledges: a value, or why it has refused.

/** How long the server may take to answer, in milliseconds. */
export const ACK_TIMEOUT = 10_000;

/** The argument of an acknowledgement of the server, which may be a refusal. */
export type Answer<T> = T | { error: string };

/** The server has said no. The message is for the user. */
export class Refused extends Error {}

/** Returns the answer. Throws if the server has refused, or has not answered, or if the connection was lost. */
export async function answered<T>(acknowledgement: Promise<Answer<T>>): Promise<T> {
  const answer = await acknowledgement;
  if (typeof answer === "object" && answer !== null && "error" in answer) throw new Refused(answer.error);
  return answer as T;
}
