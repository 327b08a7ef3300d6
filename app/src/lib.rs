//! What the server renders: our pages, server-side only, never compiled to wasm.
//!
//! What will live here: one module per page, named like its address (`developers`, `admin`, `chat`, `checkout`), and
//! the shell around them. A page reads `domain` directly and renders HTML with its data in it.
//!
//! What always holds: a page works as plain HTML first, forms included; colour, space and type are tokens of
//! `style/tokens.css`; nothing random, timed or browser-bound happens while rendering, and the HTML is valid.
//!
//! Deliberately absent: code for the browser (that is `frontend`), rules, SQL.
