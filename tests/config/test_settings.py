from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from onplan.config.environment import state_folder
from onplan.config.profile_changes import remember_profile
from onplan.config.settings import load_settings, require_safe_url
from onplan.errors import ConfigurationError
from onplan.sign_in.borrowing import source_spec
from onplan.stores import open_store

CODEX = "https://chatgpt.com/backend-api/codex"


@pytest.fixture
def settings(tmp_path):
    """Settings from a configuration file, an environment and arguments."""

    def settings(config="", *, environment=None, **arguments):
        (tmp_path / "config.toml").write_text(config, encoding="utf-8")
        return load_settings(environment={"ONPLAN_HOME": str(tmp_path), **(environment or {})}, **arguments)

    return settings


def test_the_defaults(settings, tmp_path):
    """With nothing said, the default profile uses the Codex backend and a file in the home folder."""
    found = settings()

    assert ("default", "openai-codex", CODEX, None) == (
        found.profile,
        found.backend.name,
        found.base_url,
        found.model,
    )
    assert f"file:{tmp_path / 'credentials' / 'default.json'}" == found.store
    assert ("https://auth.openai.com", tmp_path) == (found.issuer.url, found.home)


@dataclass
class Case:
    id: str
    expected: str
    config: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)


CONFIG = 'profile = "config"\n[profiles.default]\nstore = "file:c"\nmodel = "c"\n[profiles.config]\n'
PROFILE = [
    Case("argument", "argument", CONFIG, {"ONPLAN_PROFILE": "env"}, {"profile": "argument"}),
    Case("environment", "env", CONFIG, {"ONPLAN_PROFILE": "env"}),
    Case("configuration", "config", CONFIG),
    Case("empty variable", "config", CONFIG, {"ONPLAN_PROFILE": " "}),
    Case("nothing", "default"),
]
OWN = '[profiles.default]\nstore = "file:c"\nmodel = "c"\n[profiles.work]\nstore = "file:w"\n'
STORE = [
    Case("argument", "file:a", OWN, {"ONPLAN_STORE": "file:e"}, {"store": "file:a"}),
    Case("environment", "file:e", OWN, {"ONPLAN_STORE": "file:e"}),
    Case("configuration", "file:c", OWN),
    Case("another profile's", "file:w", OWN, arguments={"profile": "work"}),
    Case("empty variable", "file:c", OWN, {"ONPLAN_STORE": ""}),
]
URL = [
    Case("argument", "https://a", "", {"ONPLAN_CODEX_BASE_URL": "https://e"}, {"base_url": "https://a/"}),
    Case("environment", "http://127.0.0.1:9/x", "", {"ONPLAN_CODEX_BASE_URL": "http://127.0.0.1:9/x/"}),
    Case("another backend's variable", CODEX, "", {"ONPLAN_OPENAI_BASE_URL": "https://e"}),
    Case("empty variable", CODEX, "", {"ONPLAN_CODEX_BASE_URL": ""}),
]
MODEL = [
    Case("environment", "e", OWN, {"ONPLAN_MODEL": "e"}),
    Case("configuration", "c", OWN),
    Case("empty variable", "c", OWN, {"ONPLAN_MODEL": ""}),
]
ALL = {"profile": PROFILE, "store": STORE, "base_url": URL, "model": MODEL}


@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=f"{name}, {case.id}") for name, cases in ALL.items() for case in cases],
)
def test_precedence(settings, name, case):
    """Arguments go before the environment, that before the configuration, that before the default."""
    found = settings(case.config, environment=case.environment, **case.arguments)

    assert case.expected == getattr(found, name)


def test_an_issuer_elsewhere_is_the_same_issuer(settings):
    """``ONPLAN_ISSUER`` moves the sign-in and changes nothing else of it."""
    found = settings(environment={"ONPLAN_ISSUER": "http://localhost:9/"}).issuer

    assert "http://localhost:9/oauth/token" == found.token_endpoint
    assert settings().issuer.client_id == found.client_id


class TestRemembering:
    def test_the_profile_that_signed_in_last_is_used(self, settings, tmp_path):
        """A sign-in is remembered with its store, until another signs in or something else is said."""
        elsewhere = f"file:{tmp_path / 'elsewhere'}"
        remember_profile(settings(profile="work", store=elsewhere))

        assert ("work", elsewhere) == (settings().profile, settings().store)
        assert "config" == settings('profile = "config"').profile
        assert "file:mine" == settings('[profiles.work]\nstore = "file:mine"').store

        remember_profile(settings(profile="home"))
        assert ("home", f"file:{tmp_path / 'credentials' / 'home.json'}") == (
            settings().profile,
            settings().store,
        )
        assert elsewhere == settings(profile="work").store

    @pytest.mark.parametrize("text", ["{", "[]", '{"profile": 7}', '{"profiles": {"a": 7}}', "\xff"])
    def test_what_cannot_be_read_is_an_error(self, settings, tmp_path, text):
        """A damaged memory of sign-ins is an error that names the file, not a silent default."""
        (tmp_path / "profiles.json").write_bytes(text.encode("latin-1"))

        with pytest.raises(ConfigurationError, match=r"profiles\.json"):
            settings()

    def test_a_profile_that_cannot_be_one_is_not_used(self, settings, tmp_path):
        """A profile's name cannot leave its folder, wherever it comes from."""
        (tmp_path / "profiles.json").write_text('{"profile": "../x"}', encoding="utf-8")

        with pytest.raises(ConfigurationError, match=r"\.\./x"):
            settings()


@pytest.mark.parametrize("name", ["..", "a/b", "a\\b", ".hidden", "-x", "a b", "é", "a\n", "x" * 65])
def test_a_profile_name_cannot_leave_its_folder(settings, name):
    """A profile's name is a plain file name on every system."""
    with pytest.raises(ConfigurationError, match="cannot be a profile's name"):
        settings(profile=name)


@pytest.mark.parametrize("name", ["a", "Work.2_x-y", "x" * 64])
def test_plain_profile_names_are_taken(settings, name):
    """Letters, digits, dots, hyphens and underscores make a name."""
    assert name == settings(profile=name).profile


@pytest.mark.parametrize(
    "config",
    [
        "profile = ",
        "profile = 7",
        "profiles = 7",
        'profiles = ["default"]',
        "[profiles]\ndefault = 7",
        "[profiles.default]\nbackend = 7",
        "[profiles.default]\nbackend = ['x']",
        "[profiles.default]\nstore = 7",
        "[profiles.default]\nmodel = ['x']",
        '[profiles.default]\nbackend = "nonsense"',
    ],
)
def test_a_configuration_that_cannot_be_used_is_an_error(settings, config):
    """A value of the wrong kind is told when the settings are read, not when it is used."""
    with pytest.raises(ConfigurationError):
        settings(config)


@pytest.mark.parametrize(
    ("config", "named", "hint"),
    [
        ("profil = 'work'", "`profil`", "`profile`"),
        ("nonsense = 1", "`nonsense`", "profile, profiles"),
        ("model = 'gpt-5.5'", "`model`", "[profiles.NAME]"),
        ("[profile.default]\nmodel = 'x'", "profile must be a string", "`[profiles.default]`"),
        ("[profiles.default]\nmodle = 'x'", "in [profiles.default]: `modle`", "`model`"),
        ("[profiles.other]\nbase-url = 'x'", "in [profiles.other]: `base-url`", "`base_url`"),
        (
            "[profiles.a.b]\nmodel = 'x'",
            "in [profiles.a]: `b`",
            "api, backend, base_url, conversations, model, store",
        ),
    ],
)
def test_a_key_that_would_be_ignored_is_refused(settings, tmp_path, config, named, hint):
    """A misspelt key is told with its file, its table, and what was probably meant."""
    with pytest.raises(ConfigurationError) as caught:
        settings(config)

    assert str(tmp_path / "config.toml") in str(caught.value)
    assert named in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ("profile = 7", "profile must be a string, the name of the profile in use."),
        ("profiles = 7", "profiles must be a table."),
        ("profiles = ['default']", "profiles must be a table."),
        ("[profiles]\ndefault = 7", "profiles.default must be a table."),
        ("[profiles.work]\nbase_url = 7", "base_url in [profiles.work] must be a string."),
        ("[profiles.work]\nmodel = ['x']", "model in [profiles.work] must be a string."),
        ("[profiles.work]\nstore = {}", "store in [profiles.work] must be a string."),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(settings, tmp_path, config, sentence):
    """The sentence names the file, the key and its table, and says what the value must be."""
    with pytest.raises(ConfigurationError) as caught:
        settings(config)

    assert str(caught.value) == f"{tmp_path / 'config.toml'}: {sentence}"


def test_the_example_in_the_readme_is_a_configuration(settings):
    """README's config.toml is one, and says what it seems to say."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```toml\n(profile = .*?)^```$", readme, re.MULTILINE | re.DOTALL)

    found = settings(example)

    assert ("work", "gpt-5.5", "keyring:work") == (found.profile, found.model, found.store)


def test_a_configuration_that_is_no_text_is_an_error(tmp_path):
    """A file that is not UTF-8, or no file, is an error that names it."""
    environment = {"ONPLAN_HOME": str(tmp_path)}
    (tmp_path / "config.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        load_settings(environment=environment)

    (tmp_path / "config.toml").unlink()
    (tmp_path / "config.toml").mkdir()
    with pytest.raises(ConfigurationError, match=r"config\.toml"):
        load_settings(environment=environment)


class TestHome:
    def test_a_relative_home_is_made_absolute(self, tmp_path, monkeypatch):
        """The home folder does not move with the working directory."""
        monkeypatch.chdir(tmp_path)

        assert tmp_path / "x" == load_settings(environment={"ONPLAN_HOME": "x"}).home

    def test_an_empty_home_is_the_system_s(self):
        """An empty variable counts as unset."""
        found = load_settings(environment={"ONPLAN_HOME": ""}).home

        assert "onplan" == found.name
        assert found.is_absolute()

    def test_a_home_of_nobody_is_an_error(self):
        """``~somebody`` without such a user is told, not a crash."""
        with pytest.raises(ConfigurationError, match="ONPLAN_HOME"):
            load_settings(environment={"ONPLAN_HOME": "~no-such-user-here/x"})

    def test_without_a_home_folder_a_store_that_needs_none_can_be_used(self, homeless):
        """An account without a home folder, as in some containers, reads a token from the environment."""
        found = load_settings(store="env:TOKEN")

        assert ("env:TOKEN", "default") == (found.store, found.profile)
        with pytest.raises(ConfigurationError, match="HOME is not set"):
            _ = found.home

    def test_without_a_home_folder_the_default_store_says_what_to_set(self, homeless):
        """Where something has to be kept, the sentence names ONPLAN_HOME; no folder is called ~."""
        with pytest.raises(ConfigurationError, match="HOME is not set") as caught:
            load_settings()

        assert "export ONPLAN_HOME=" in caught.value.hint

    def test_without_a_home_folder_onplan_home_is_enough(self, homeless, monkeypatch, tmp_path):
        """ONPLAN_HOME is then the home of everything, locks included."""
        monkeypatch.setenv("ONPLAN_HOME", str(tmp_path / "own"))

        assert tmp_path / "own" == load_settings().home
        assert tmp_path / "own" == state_folder()

    def test_without_any_folder_there_is_no_place_for_locks(self, homeless):
        """A store that needs a lock says so, too."""
        with pytest.raises(ConfigurationError, match="HOME is not set"):
            state_folder()

    @pytest.mark.parametrize("spec", ["codex:", "codex:~/x", "file:~/x"])
    def test_a_store_in_a_home_folder_that_does_not_exist_is_refused(self, homeless, monkeypatch, spec):
        """A tilde that stands for no folder is told with what to write instead."""
        with pytest.raises(ConfigurationError, match="home folder") as caught:
            open_store(spec)

        assert "/path/to/" in caught.value.hint

    @pytest.mark.parametrize(
        "source", ["~/x", "~no-such-user-here/auth.json", "file:~/x", "codex:~/x", "codex:"]
    )
    def test_so_is_one_to_import_from(self, homeless, source):
        """So is a path that is named to import from, or to be remembered."""
        with pytest.raises(ConfigurationError, match="home folder"):
            source_spec(source)

    @pytest.fixture
    def homeless(self, monkeypatch):
        """An account that the system does not know, and no HOME."""
        pwd = pytest.importorskip("pwd")

        def unknown(user):
            raise KeyError(user)

        for name in ("HOME", "ONPLAN_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(pwd, "getpwuid", unknown)

    def test_nothing_is_made_by_reading(self, tmp_path):
        """Reading settings leaves the disk as it was."""
        load_settings(environment={"ONPLAN_HOME": str(tmp_path / "new")})

        assert [] == list(Path(tmp_path).iterdir())


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://example.org", "https://example.org"),
        ("https://example.org/v1/", "https://example.org/v1"),
        ("HTTPS://example.org", "HTTPS://example.org"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://localhost/x", "http://localhost/x"),
        ("http://LOCALHOST", "http://LOCALHOST"),
    ],
)
def test_a_token_may_travel_by_https_or_stay_here(url, safe):
    """https anywhere, and http on this very machine, are safe."""
    assert safe == require_safe_url(url, "X")


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org",
        "http://127.0.0.1.example.org",
        "http://localhost.example.org",
        "http://0.0.0.0",
        "http://10.0.0.1",
        "http://[::2]",
        "http://2130706433",
        "http://example.org#@127.0.0.1",
        "http://example.org\\@127.0.0.1",
        "http://127.0.0.1\\.example.org",
        "http://127.0.0.1\n.example.org",
        "https://user@example.org",
        "https://user:secret-word@example.org",
        "https://:secret-word@example.org",
        "https://",
        "https:///x",
        "https://example.org:port",
        "https://example.org:99999",
        "https://[::1",
        "ftp://example.org",
        "file:///etc/passwd",
        "example.org",
        "//example.org",
        "",
        "https://example.org/v1?key=secret-word",
        "https://example.org/v1#secret-word",
    ],
)
def test_other_addresses_are_refused(url):
    """An address to which no token may go is refused by the name of its source, without its secrets."""
    with pytest.raises(ConfigurationError, match="ONPLAN_X") as caught:
        require_safe_url(url, "ONPLAN_X")
    assert "secret-word" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize("name", ["ONPLAN_ISSUER", "ONPLAN_CODEX_BASE_URL"])
def test_an_unsafe_override_is_refused(settings, name):
    """A variable that would send tokens to a plain-http stranger stops the program."""
    with pytest.raises(ConfigurationError, match=name):
        settings(environment={name: "http://example.org"})


def test_an_unsafe_argument_is_refused(settings):
    """So does an argument."""
    with pytest.raises(ConfigurationError):
        settings(base_url="http://example.org")
