//! The benches of CMS; each file of this folder states what it shows.
