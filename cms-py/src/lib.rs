// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The native half of the Python package `cms_py`: it translates, calls `Cms`, and translates back. The
//! typed half that services import is `cms-py/python/cms_py`.

mod client;
mod convert;
mod decision;
mod errors;
mod exchange;
mod opened;
mod principal;
mod role_key;
mod running;
mod runtime;
mod surface;
mod watch;

/// What only `cms_py` imports.
#[pyo3::pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use crate::client::Client;
    #[pymodule_export]
    use crate::decision::Decision;
    #[pymodule_export]
    use crate::exchange::Exchange;
    #[pymodule_export]
    use crate::principal::Principal;
    #[pymodule_export]
    use crate::role_key::{sign_role_key, verify_role_key};
    #[pymodule_export]
    use crate::runtime::stop;
    #[pymodule_export]
    use crate::surface::Surface;
    #[pymodule_export]
    use crate::watch::Watch;
}
