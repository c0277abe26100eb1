/**
 * The client with packets in MessagePack instead of JSON. The server needs the same parser.
 *
 * @packageDocumentation
 */
import { setDefaultParser } from "./manager.js";
import { Decoder, Encoder } from "./msgpack.js";

setDefaultParser({ Encoder, Decoder });

export * from "./api.js";
export { default } from "./api.js";
