"""Data sets that Isocline may not ship: where they are published, checksum and licence of each."""

from __future__ import annotations

from dataclasses import dataclass

_RAW = "https://raw.githubusercontent.com"
_DELHI = f"{_RAW}/arunmathur27/Step-By-Step-Multivariate-Trend-Forecasting-Using-Prophet"
_DELHI_COMMIT = "9525b07cd4cf32bc5871f30ef58cb4e3b5fa0427"


@dataclass(frozen=True)
class Remote:
    """A file on the web.

    Args:
        url: of one pinned version, as far as the publisher keeps versions.
        sha256: of the content, in hexadecimal; unpacked, if its name ends with ".gz": the same
            content is packed in more than one way. None where nobody who wrote this has seen the
            file: then its loader checks what it reads from it.
        place: path below the folder `ISOCLINE_DATA`, and below the cache.
        licence: in a word, for whoever wants to pass it on.
    """

    url: str
    sha256: str | None
    place: str
    licence: str


# All checksums are of the copies that Isocline was tested with; they were computed from those
# files and not taken from the publishers, who (Kaggle aside) give none.
REGISTRY: dict[str, Remote] = {
    # NOAA now updates wksst9120.for (anomalies against 1991-2020) and left this one in Sep 2020.
    "nino_weekly": Remote(
        "https://www.cpc.ncep.noaa.gov/data/indices/wksst8110.for",
        "ebbfb196ffa2bf8675c78fbd6b4b7c3496290c84a5f519bbdcd4a7ce6e0ff8b6",
        "sst/wksst8110.for",
        "public domain",
    ),
    # Kaggle (sumanthvrao/daily-climate-time-series-data) asks for a login: these are copies of it.
    "delhi_train": Remote(
        f"{_DELHI}/{_DELHI_COMMIT}/DailyDelhiClimateTrain.csv",
        "92d3f8f651e1d323382447cd8dd4e49389a9b396e7d6871b177dde7d07ac630d",
        "weather/DailyDelhiClimateTrain.csv",
        "CC0",
    ),
    "delhi_test": Remote(
        f"{_DELHI}/{_DELHI_COMMIT}/DailyDelhiClimateTest.csv",
        "a185d042f8330b1ec5f03ee819837cb74f7b7c1d0541f2be711170468ec3dd0c",
        "weather/DailyDelhiClimateTest.csv",
        "CC0",
    ),
    "seattle_weather": Remote(
        f"{_RAW}/vega/vega-datasets/v1.29.0/data/seattle-weather.csv",
        "62f0609f787158128aa2bd102967173a4953122dd4f872bf1d502cae1037df0b",
        "series/seattle_weather/seattle-weather.csv",
        "public domain",
    ),
}
_BENCHMARK = f"{_RAW}/Minqi824/ADBench/f7fed68dea6901fe9a81ed51b251b1d2456790cd"
_UCI = f"{_RAW}/treforevans/uci_datasets/36a67b7e5d4b1c08151a7d044f555f50af16548a"
REGISTRY |= {
    name: Remote(url, checksum, f"tabular/{url.rsplit('/', 1)[1]}", "CC BY 4.0")
    for name, url, checksum in (
        (
            "magic",
            f"{_BENCHMARK}/adbench/datasets/Classical/22_magic.gamma.npz",
            "0be375984d7af9ea7a63b12206c240840d8b7daa3607021c5fb8756407dd86f1",
        ),
        (
            "shuttle",
            f"{_BENCHMARK}/adbench/datasets/Classical/32_shuttle.npz",
            "26900b0f6be45d9ddb7a402c9b2f956ceda42d23a8ca4cf4406b8bc1352823d1",
        ),
        (
            "protein",
            f"{_UCI}/uci_datasets/protein/data.csv.gz",
            "6ccb1a6bf7e7ba40febe2b8226779cb62e4ca2fa4d193bdec8538c6b5f991ec5",
        ),
    )
}
_CHALLENGE = "https://physionet.org/files/challenge-2012/1.0.0"
REGISTRY |= {
    name: Remote(f"{_CHALLENGE}/{file}", None, f"medical/physionet2012/{file}", "ODC-By 1.0")
    for name, file in (
        ("physionet2012_records", "set-a.tar.gz"),
        ("physionet2012_outcomes", "Outcomes-a.txt"),
    )
}
# IBM's archive "double-pendulum-chaotic" holds the videos as well; this is a public copy
# of its tables of the markers alone, a file a run.
_PENDULUM = (
    f"{_RAW}/erwincoumans/tiny-differentiable-simulator/8381b8c9ad7f0a959548e4982eb8a63431a842d2/"
    "data/ibm-double-pendulum/original/dpc_dataset_csv"
)
_PENDULUM_SHA256 = (
    "0c02780291f4d19c1e92ad45c0f8e958ae15413def5834b98dd4c6935ad3adbd",
    "11bc145e34c0745a71881ec48089cda43da2171ee3e4081ba24d335acbfa1f2e",
    "94d326951762fd133a549a4c8b2de81c97d330e6dbe997407b8b367d7a73c3bd",
    "3d8e91f8e52cee26de41ae32081aabd9e2463ad423a59e9714d78bb402f48547",
    "8c20addd10d5ab78df894927ec4ae1a278eaf56d96b1ed3ed49dcbea076217ae",
    "dbd310a7e512d46b7e9e0d16b932d965746ef46685055fb5031f6ecfa094c465",
    "79e0a9b415fa6e4e59ce016f2f6fcee759a9a9491d58ffde6e73303eab3f506e",
    "c16496123e485c4d29d8c62a761e7d889d89a38acb638ee43f087e6ff300df3e",
    "2ef747e2ba1cf8f31af766a3905632e6efd0e65dd95aca08fdfb546ce8ce38d0",
    "a32078daa3b914f510dfd5645ad7ca655ac4a736f2423a41606e6030e623427b",
    "a7042a4efde78b017fcab37defa73624efd92f8bacf1a87085044ccd9b3fdcde",
    "3e33ed1cc0cd81afd90e4738c51f1801ce4885439b138febf7909578a30b858c",
    "ccdde6af4e65200389a85480b3a34c183cef5affff4a11f43d81cc565d64fded",
    "a16d1fbb7da0c8a13a154d75da78f2863ea7aeb32408804537a1f36bf7e8cc44",
    "bdaaad2e81d70b2cfe9759f4a934153cfd0ac2e8c7d59572e4558c6c80f5840d",
    "fd93d1a5bf03b9fd3876c3dcf7cda45f3faefd1b7d1e5fa3f1a5ad103915f891",
    "8698d6df71114b8b15ff2c90b501167baf77072347bd716dbe7f1b472161f4a6",
    "90347861a2e574935c1cab0ed377cea1196645901aec0484ebdc6e60b13660c8",
    "980201de83bc13ea932b996e0151060131dbe964aabe4dc7d71fc9dfabb84a72",
    "5615a0ef2371527a9275986488c30dc180f30ea4011b7d2e6085c07d4d8a849f",
    "a89ead7ed464e28c04370de80d2011e78c4f213154d37c928cd8a9b4184a6101",
)
REGISTRY |= {
    f"double_pendulum_{run:02d}": Remote(
        f"{_PENDULUM}/{run}.csv", checksum, f"physics/double_pendulum/{run}.csv", "CDLA-Sharing 1.0"
    )
    for run, checksum in enumerate(_PENDULUM_SHA256)
}
_ILLNESS = (
    f"{_RAW}/junwoopark92/Self-Supervised-Contrastive-Forecsating/"
    "e20c108114cf68d451c938712ad28dac5f83ef6e/dataset/illness"
)
REGISTRY |= {
    # The publisher keeps no versions of this one; what changed would be refused.
    "ett": Remote(
        f"{_RAW}/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
        "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
        "series/ETTh1.csv",
        "CC BY-ND 4.0",
    ),
    "flu_regions": Remote(
        f"{_RAW}/Xiefeng69/EpiGNN/9560aee7d779a9da63609ce32dbe1a3f3480a912/data/region785.txt",
        "f6e7fdf21423dc5d43ef82cbde95eca5609c723973cb4aa4dd157de5b149a6cc",
        "epidemic/influenza_region785.txt",
        "public domain",
    ),
    "illness": Remote(
        f"{_ILLNESS}/national_illness.csv",
        "8594cecb98c6f2f9dc014eca11c4d5d1e38ad5ce6ed0592d4abe65b146fce395",
        "epidemic/national_illness/national_illness.csv",
        "public domain",
    ),
    # As aeon 1.6 has it; a data folder may hold it packed.
    "vowels": Remote(
        f"{_RAW}/aeon-toolkit/aeon/v1.6.0/aeon/datasets/data/JapaneseVowels/JapaneseVowels_TRAIN.ts",
        "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
        "series/uea_aeon/JapaneseVowels_TRAIN.ts.gz",
        "CC BY 4.0",
    ),
}
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_IDX = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}
_IDX_SHA256 = {
    "mnist": (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    "fashion_mnist": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
}
REGISTRY |= {
    f"{name}_{part}": Remote(f"{site}/{file}", checksum, f"{name}/{file}", licence)
    for name, site, licence in (
        ("mnist", _MNIST, "CC BY-SA 3.0"),
        ("fashion_mnist", _FASHION, "MIT"),
    )
    for (part, file), checksum in zip(_IDX.items(), _IDX_SHA256[name], strict=True)
}
