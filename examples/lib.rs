//! The examples of CMS; each file of this folder states what it shows.
