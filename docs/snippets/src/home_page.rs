//! The programs are whole: they use nothing from here.
