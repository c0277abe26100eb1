export * from "./tidewire.js";
export { default } from "./tidewire.js";
