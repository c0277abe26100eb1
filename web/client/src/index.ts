/**
 * A Socket.IO client for browsers, with the API of the official JavaScript client.
 *
 * @packageDocumentation
 */
import { setDefaultParser } from "./manager.js";
import { Decoder, Encoder } from "./parser.js";

setDefaultParser({ Encoder, Decoder });

export * from "./api.js";
export { default } from "./api.js";
