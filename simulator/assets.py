"""The assets of the simulated exchange: names, dollar values at the start, swings, fates."""

from __future__ import annotations

from dataclasses import dataclass

from simulator import noise


def _names(text: str) -> list[str]:
    return text.split()


# asset → (dollars, swing relative to a usual coin); the ten watched ones first
MAJORS: dict[str, tuple[float, float]] = {
    "BTC": (64_000.0, 0.7),
    "ETH": (3_100.0, 0.8),
    "XRP": (1.4, 1.0),
    "BNB": (590.0, 0.8),
    "SOL": (150.0, 1.0),
    "DOGE": (0.17, 1.2),
    "TRX": (0.21, 0.7),
    "ADA": (0.55, 1.0),
    "SUI": (2.4, 1.2),
    "LINK": (15.0, 1.0),
}
CASH: dict[str, tuple[float, float]] = {
    "USDT": (1.0, 0.0),
    "USDC": (0.9999, 0.0004),
    "FDUSD": (0.9991, 0.001),
    "EUR": (1.11, 0.08),
    "TRY": (0.028, 0.1),
}
# Values that break careless parsers: 1e-8 dollars with 15-digit volumes, ten digits a unit,
# and a name that is not ASCII.
EXTREMES: dict[str, tuple[float, float]] = {
    "DUST": (0.000000021, 1.0),
    "GIANT": (4_385_000_000.0, 0.3),
    "币安人生": (0.16, 1.5),
}
DELISTED = _names("""
    BCC VEN HC PAX USDS BTS DGD MCO STORM ERD NPXS BTCST TORN OMG BUSD MULTI ANT WAVES NANO XMR SRM
    TUSD LUNC UST RNDR
""")
HALTED = _names("""
    FTT ALPACA VIDT HIFI
""")
OTHERS = _names("""
    LTC BCH DOT AVAX SHIB UNI XLM ATOM ETC HBAR ICP FIL NEAR APT ARB OP INJ VET ALGO QNT GRT AAVE
    STX IMX EGLD SAND MANA THETA AXS FTM EOS XTZ FLOW KAVA CHZ ZEC DASH NEO IOTA MKR SNX CRV COMP
    LDO RPL FXS GMX DYDX PEPE FLOKI BONK WIF SEI TIA JUP PYTH JTO STRK ENA W TAO ONDO FET AGIX
    OCEAN AR ROSE ZIL ENJ BAT ZRX KSM RUNE CAKE 1INCH SUSHI YFI BAL UMA REN KNC LRC SKL CELO ANKR
    ONE HOT IOST RVN SC DCR ICX ONT QTUM LSK WAN ZEN XEM DGB STORJ NMR BAND OGN CTSI STMX DENT WIN
    BTTC JST SUN TWT SXP C98 ALPHA BEL CHR COTI CVC DATA DIA DODO DUSK ELF FIO FIS FLM FORTH FUN
    GHST GLM GNO GTC HARD HIGH HIVE IDEX ILV IRIS JASMY JOE KEY KLAY KMD LEVER LINA LIT LOKA LPT
    LQTY LTO MAGIC MASK MAV MBL MBOX MDT METIS MINA MLN MOVR MTL NKN NULS OAX OM ORN OSMO OXT PAXG
    PENDLE PEOPLE PERP PHA PHB POLS POLYX POND POWR PROM PSG PUNDIX PYR QI QUICK RAD RARE RAY RDNT
    REEF REQ RIF RLC RSR SANTOS SCRT SFP SLP SPELL SSV STEEM STG STPT SUPER SYN SYS T TFUEL TKO TLM
    TRB TROY TRU TVK UNFI USTC UTK VANRY VGX VIB VIC VITE VOXEL VTHO WAXP WBTC WING WLD WOO WRX XAI
    XEC XNO XVG XVS YGG ACE ACH ACM ADX AERGO AEVO AGLD ALCX ALICE ALT AMB AMP APE API3 ARDR ARK
    ARKM ARPA ASR AST ASTR ATA ATM AUCTION AUDIO AVA AXL BADGER BAKE BAR BICO BIFI BLUR BLZ BNT BNX
    BOME BOND BSW BURGER CELR CFX CITY CKB CLV COMBO COS CREAM CTK CTXC CVP CVX CYBER DAR DEGO DEXE
    DF DOCK EDU ENS EPX ERN ETHFI FARM FIDA FIRO FOR FRONT GAL GALA GAS GFT GLMR GMT GNS HFT HOOK
""")
# One of these is listed every twelve days from 2026-01-05 on: there is always a young symbol.
NEWCOMERS = _names("""
    ZORA KITE MIRA LINEA HEMI ASTER XPL AVNT BARD SKY FF EDEN MORPHO ZBT YB ENSO EUL TURTLE GIGGLE
    SAPIEN MMT ALLO KGEN NIGHT BREV LIGHTER TRIA RAIN ZAMA AZTEC INCO SENT ROBO FOGO MEGA ESP
    SEISMIC MONAD PHAROS IRYS MINIMAX CODEX RISE FABRIC KINDRED OPENLEDGER NEXUS SUCCINCT BOUNDLESS
    CAMP HUMA NEWT SAHARA SPK TREE PROVE TOWNS HOLO
""")


@dataclass(frozen=True, slots=True)
class Asset:
    """`usd`: dollars around which it moves; `swing`: how much, 1.0 for a usual coin."""

    name: str
    usd: float
    swing: float


def asset(name: str) -> Asset:
    """The asset of that name; one without an entry above gets a value by its name."""
    for table in (MAJORS, CASH, EXTREMES):
        if name in table:
            return Asset(name, *table[name])
    bits = noise.key("dollars", name)
    # 0.0001 … 100 dollars, log-uniform in steps of a quarter decade, two digits
    exponent = (bits % 24) / 4.0 - 4.0
    digits = 1.0 + (bits >> 8) % 80 / 100.0
    return Asset(name, float(f"{digits * 10.0**exponent:.2g}"), 0.8 + (bits >> 16) % 100 / 100.0)
