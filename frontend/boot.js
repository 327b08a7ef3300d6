// Starts the islands as soon as the module is loaded. The build appends this to wasm-bindgen's glue, in which it has
// put the module's address and integrity.
__wbg_init();
