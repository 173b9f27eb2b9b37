"""Colours, Streamlit's configuration and the page's style sheet."""

from __future__ import annotations

from page.settings import PageSettings

BACKGROUND = "#0f1318"
PANEL = "#161c23"
LINE = "#26303a"
TEXT = "#d7dde4"
MUTED = "#8794a1"
UP = "#3fb68b"
DOWN = "#e0625f"
ACCENT = "#5aa7e0"
AMBER = "#dcaa4a"
VIOLET = "#ab7fd6"
FONT = '"Source Sans", "Segoe UI", sans-serif'


def options(settings: PageSettings) -> dict[str, object]:
    """Streamlit's configuration: on loopback, silent, without a watcher, calm and dark."""
    return {
        "server.address": settings.page_address,
        "server.port": settings.page_port,
        # what a foreign site makes a browser ask under its own name is refused
        "server.allowedHosts": ["127.0.0.1", "localhost", settings.page_address],
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": False,
        "server.enableStaticServing": False,
        "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "runner.magicEnabled": False,
        "logger.hideWelcomeMessage": True,
        "logger.enableRich": False,
        "theme.base": "dark",
        "theme.backgroundColor": BACKGROUND,
        "theme.secondaryBackgroundColor": PANEL,
        "theme.textColor": TEXT,
        "theme.primaryColor": ACCENT,
        "theme.borderColor": LINE,
        "theme.linkColor": ACCENT,
        "theme.baseRadius": "small",
        "theme.baseFontSize": 14,
    }


STYLE = f"""
<style>
.stMainBlockContainer {{ padding: 4.4rem 1.4rem 1.5rem; }}
.stVerticalBlock {{ gap: 0.55rem; }}
/* what is drawn anew at each refresh would fade each time */
[data-stale="true"] {{ opacity: 1 !important; transition: none !important; }}
.tm-status {{ color: {MUTED}; font-size: 0.86rem; }}
.tm-status b {{ color: {TEXT}; font-weight: 600; }}
.tm-dot {{ display: inline-block; width: 0.55em; height: 0.55em; border-radius: 50%;
  margin-right: 0.45em; }}
.tm-fresh {{ background: {UP}; }} .tm-late {{ background: {AMBER}; }}
.tm-stale {{ background: {DOWN}; }}
.tm-panel {{ background: {PANEL}; border: 1px solid {LINE}; border-radius: 6px;
  padding: 0.55rem 0.75rem 0.6rem; overflow-x: auto; }}
[class*="st-key-panel-"] {{ background: {PANEL}; border: 1px solid {LINE};
  border-radius: 6px; padding: 0.55rem 0.75rem 0.4rem; gap: 0.1rem; }}
.tm-title {{ color: {MUTED}; font-size: 0.8rem; display: flex; justify-content: space-between;
  gap: 1em; margin-bottom: 0.3rem; }}
.tm-title b {{ color: {TEXT}; font-weight: 600; }}
.tm-panel table {{ border-collapse: collapse; width: 100%; margin: 0; font-size: 0.86rem;
  font-variant-numeric: tabular-nums; }}
.tm-panel th {{ color: {MUTED}; font-weight: 400; text-align: left; padding: 0.1rem 0.5rem 0.2rem 0;
  border: 0; white-space: nowrap; }}
.tm-panel td {{ padding: 0.17rem 0.5rem 0.17rem 0; border: 0; border-top: 1px solid {LINE};
  white-space: nowrap; }}
.tm-panel th.tm-r, .tm-panel td.tm-r {{ text-align: right; }}
.tm-panel th:last-child, .tm-panel td:last-child {{ padding-right: 0; }}
.tm-panel a {{ color: {TEXT}; text-decoration: none; font-weight: 600; }}
.tm-panel a:hover {{ color: {ACCENT}; }}
.tm-empty {{ color: {MUTED}; padding: 0.5rem 0; }}
.tm-up {{ color: {UP}; }} .tm-down {{ color: {DOWN}; }} .tm-warn {{ color: {AMBER}; }}
.tm-muted {{ color: {MUTED}; }}
.tm-tiles {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(9.4rem, 1fr));
  gap: 0.5rem; }}
.tm-tile {{ background: {PANEL}; border: 1px solid {LINE}; border-left-width: 3px;
  border-radius: 6px; padding: 0.4rem 0.65rem 0.45rem; min-width: 0; }}
.tm-tile.tm-up {{ border-left-color: {UP}; }} .tm-tile.tm-down {{ border-left-color: {DOWN}; }}
.tm-tile.tm-warn {{ border-left-color: {AMBER}; }}
.tm-tile .tm-label {{ color: {MUTED}; font-size: 0.78rem; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; }}
.tm-tile .tm-label a {{ color: {TEXT}; text-decoration: none; font-weight: 600; }}
.tm-tile .tm-value {{ color: {TEXT}; font-size: 1.18rem; font-weight: 600; line-height: 1.35;
  font-variant-numeric: tabular-nums; white-space: nowrap; }}
.tm-tile .tm-note {{ font-size: 0.82rem; font-variant-numeric: tabular-nums; white-space: nowrap; }}
.tm-tile.tm-up .tm-note {{ color: {UP}; }} .tm-tile.tm-down .tm-note {{ color: {DOWN}; }}
.tm-tile.tm-flat .tm-note {{ color: {MUTED}; }} .tm-tile.tm-warn .tm-note {{ color: {AMBER}; }}
.tm-tile img {{ width: 100%; height: 1.6rem; display: block; margin-top: 0.2rem; }}
.tm-notice {{ border: 1px solid {LINE}; border-left: 3px solid {MUTED}; border-radius: 6px;
  background: {PANEL}; padding: 0.55rem 0.8rem; }}
.tm-notice.tm-bad {{ border-left-color: {DOWN}; }}
</style>
"""
