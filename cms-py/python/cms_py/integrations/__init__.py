# SPDX-License-Identifier: Apache-2.0 OR MIT
"""CMS behind the settings and secret interfaces of other packages; each module needs its package."""
