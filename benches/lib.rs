// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The benches of CMS; each file of this folder states what it shows.
