# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Help for the tests of services that use CMS. Loaded by pytest by itself."""
