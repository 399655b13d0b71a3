// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Python bindings of CMS. Empty until the bindings are written; see `cms-server` for the HTTP surface.
