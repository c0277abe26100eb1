//! `README.md` contains whole programs only, which need no names from here.
