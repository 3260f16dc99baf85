"""The data of a page: networks, photos, a collection, notes; and the answers that need no job."""

import hashlib
import json
import math
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch

from triscope._version import __version__
from triscope.errors import ImageError, OptionError, StoreError, TriscopeError
from triscope.images import printable
from triscope.images.samples import SAMPLES, sample_photo
from triscope.methods import Step
from triscope.network import Network
from triscope.objectives.base import Need
from triscope.objectives.parsing import resolve
from triscope.results import Drawn, Result, write_file
from triscope.results.drawing import colours
from triscope.views import predict
from triscope.web import described
from triscope.web.asking import read_call
from triscope.web.collected import Collected, place_beside
from triscope.web.jobs import Job, Worker
from triscope.web.map_pieces import MapPieces
from triscope.web.photos import PhotoFile, Photos, jpeg, seen
from triscope.web.volumes import Volume, layer_facts, volume
from triscope.which.maps.map import Map
from triscope.which.maps.rough import rough_map
from triscope.which.store import Store

_ANSWERS = 256
_NOTES = "notes.json"
_LONGEST_NOTE = 2000
_MOST_NOTES = 10_000
_LOOKED_AT = 5000
_CURVE_STEPS = 10  # of the curves that judge a map


class Microscope:
    """The networks, photos, collections and notes of one page."""

    def __init__(
        self,
        networks: Sequence[Network],
        store: Store | Sequence[Store] | None = None,
        *,
        photos: Iterable[Path] = (),
        notes: Path | None = None,
    ) -> None:
        self.networks = list(networks)
        stores = [store] if isinstance(store, Store) else list(store or ())
        self.photos = Photos()
        for path in photos:
            self.photos.add_file(path)
        self.worker = Worker()
        self._asked: dict[str, str] = {}
        self._volumes: dict[tuple[int, str, str], Volume] = {}
        self._notes_at = notes or (stores[0].path / _NOTES if stores else None)
        self._notes_lock = threading.Lock()
        self.notes: dict[str, dict[str, Any]] = self._read_notes()
        self.worker.soon(self.about)  # so that layers are found before the first request
        self.maps = MapPieces()
        self.collections = [
            Collected(network, one, self.maps, self._keep_notes_in)
            for network, one in zip_longest(self.networks, stores[: len(self.networks)])
        ]

    def network(self, number: Any = 0) -> Network:
        """One of the networks. Raises OptionError where there is none of that number."""
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(self.networks):
            raise OptionError(f"There are {len(self.networks)} networks here, from 0.")
        return self.networks[number]

    @property
    def store(self) -> Store | None:
        """The collection of the first network, where there is one."""
        return self.collections[0].store

    @property
    def indexing(self) -> dict[str, Any] | None:
        """The progress of indexing the first network's collection; None where nothing is being indexed."""
        return self.collections[0].indexing

    def require_store(self, number: int = 0) -> Store:
        """The collection of a network. Raises StoreError where there is none."""
        return self.collection(number).require_store()

    def photo(self, key: str) -> PhotoFile:
        """A photo by its id; `row-N` is an image of the collection, `row-N.K` one of network K's. Raises
        ImageError and StoreError.
        """
        if not key.startswith("row-"):
            return self.photos[key]
        row, _, network = key.removeprefix("row-").partition(".")
        store = self.require_store(int(network) if network.isdecimal() else 0)
        if not row.isdecimal() or int(row) >= store.table.count():
            raise StoreError("The collection has no such image.")
        path = store.files([int(row)])[0]
        return PhotoFile(key, printable(path.name), path)

    def about(self) -> dict[str, Any]:
        """The data that a page gets when it is opened."""
        return {
            "version": __version__,
            "networks": self._network_facts,
            "questions": described.questions(),
            "methods": described.methods(),
            "photos": self.photos.listed(),
            "collections": [one.facts() for one in self.collections],
            "notes": self.notes,
            "keepsNotes": self._notes_at is not None,
            "colours": colours(),
        }

    def collection(self, number: int = 0) -> Collected:
        """The collection as a network sees it. Raises OptionError where there is no network of that number."""
        self.network(number)
        return self.collections[number]

    def job(self, data: Mapping[str, Any]) -> Job:
        """The job that a page requests; an equal one that is still kept is used again. Raises TriscopeError."""
        key = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        known = self.worker.jobs.get(self._asked.get(key, ""))
        if known is not None and known.state in ("waiting", "running", "done") and not data.get("again"):
            return known
        call = read_call(self, data)
        about = {"method": call.method.name, "network": data.get("network", 0), **call.lines()}

        def steps() -> Iterator[Step[Any]]:
            if issubclass(call.method.returns, Map):
                rough = rough_map(call.arguments["store"], call.arguments.get("layer"))
                if rough is not None:
                    yield Step(0, 1, math.nan, {}, rough)
            yield from call.method.steps(**call.arguments)

        job = Job(about, steps, call.method.long, picture_of)
        self.worker.submit(job)
        self._asked[key] = job.id
        while len(self._asked) > _ANSWERS:
            self._asked.pop(next(iter(self._asked)))
        return job

    def judgement(self, data: Mapping[str, Any]) -> Job:
        """The job that judges maps: of a network, a photo, a unit (or the top class), methods."""
        inputs = {"images": data.get("photo"), "objective": data.get("unit")}
        options = {"methods": data.get("methods"), "steps": _CURVE_STEPS}
        return self.job({"method": "judge", "network": data.get("network", 0), "inputs": inputs, "options": options})

    def volume(self, layer: str, photo: str, number: int = 0) -> Volume:
        """A layer's activations for a photo; the last few are kept. Called in the worker."""
        key = (number, layer, photo)
        if key not in self._volumes:
            network = self.network(number)
            self._volumes[key] = volume(network, seen(network, self.photo(photo)).images, layer)
            while len(self._volumes) > 8:
                self._volumes.pop(next(iter(self._volumes)))
        return self._volumes[key]

    def predictions(self, photo: str, number: int = 0, k: int = 10) -> list[dict[str, Any]]:
        """The likeliest classes of a photo. Called in the worker."""
        network = self.network(number)
        return predict(network, seen(network, self.photo(photo)), k=k).rows()[0]

    def score(self, unit: str, photo: str, number: int = 0) -> float:
        """A photo's score for a unit. Called in the worker."""
        network = self.network(number)
        question = resolve(unit, network)
        with torch.no_grad():
            look = network.look(seen(network, self.photo(photo)).images, question.needs)
            return float(question(look)[0])

    def scores(self, unit: str, number: int = 0, bins: int = 32) -> dict[str, Any]:
        """The scores of the collection for a unit, as a histogram. Called in the worker."""
        store = self.require_store(number)
        question = resolve(unit, store.network)
        found = [question(answers).float() for _, answers in store.answers(question.needs)]
        scores = torch.cat(found) if found else torch.zeros(0)
        if not len(scores):
            return {"counts": [], "least": 0.0, "most": 0.0, "pictures": 0}
        least, most = float(scores.min()), float(scores.max())
        counts = torch.histc(scores, bins, least, most if most > least else least + 1)
        return {"counts": [int(n) for n in counts], "least": least, "most": most, "pictures": len(scores)}

    def best_pictures(self, layer: str, number: int = 0) -> list[torch.Tensor]:
        """For every channel of a layer the image of the collection that activates it most. Called in the worker."""
        store = self.require_store(number)
        column = store.find(layer, "max")
        best = torch.full((column.length,), -torch.inf)
        rows = torch.zeros(column.length, dtype=torch.int64)
        for numbers, answers in store.answers([Need(layer, "max" if column.pool == "max" else "none")]):
            values, places = next(iter(answers.values())).float().flatten(1).max(0)
            better = values > best
            best = torch.where(better, values, best)
            rows = torch.where(better, torch.from_numpy(numbers)[places], rows)
        different = sorted(set(rows.tolist()))
        pictures = dict(zip(different, store.thumbnails(different), strict=True))
        return [pictures[row] for row in rows.tolist()]

    def note(self, unit: str, text: str, *, star: bool) -> None:
        """Keep a note on a unit, and whether it has a star; in the store, where there is one."""
        if len(unit) > _LONGEST_NOTE or len(text) > _LONGEST_NOTE:
            raise OptionError(f"A note has up to {_LONGEST_NOTE} characters.")
        with self._notes_lock:
            if text or star:
                if len(self.notes) >= _MOST_NOTES and unit not in self.notes:
                    raise OptionError(f"There are {_MOST_NOTES:,} notes already; delete some first.")
                self.notes[unit] = {"text": text, "star": star}
            else:
                self.notes.pop(unit, None)
            self._write_notes()

    def index(self, folder: Path, place: Path) -> None:
        """Index a folder while the worker is idle, by one network after the other, each into a store of its own; each
        can be used as soon as it holds some images.
        """
        for number, one in enumerate(self.collections):
            self.worker.background(one.index(folder, place_beside(place, one.network) if number else place))

    def close(self) -> None:
        """Stop the worker, and the preparation of maps and thumbnails."""
        self.maps.close()
        self.worker.close()

    def _keep_notes_in(self, store: Store) -> None:
        if self._notes_at is None:
            self._notes_at = store.path / _NOTES
            with self._notes_lock, suppress(OptionError):  # a note that was written before is kept, too
                self.notes = self._read_notes() | self.notes
                self._write_notes()

    def _write_notes(self) -> None:
        """Save the notes, where they have a file. Raises OptionError where it cannot be written."""
        if self._notes_at is not None:
            write_file(self._notes_at, json.dumps(self.notes, indent=1, sort_keys=True).encode())

    def _read_notes(self) -> dict[str, dict[str, Any]]:
        """The saved notes; a file of another format is left alone and not shown."""
        if self._notes_at is None:
            return {}
        try:
            data = json.loads(self._notes_at.read_bytes())
            return {
                str(unit): {"text": str(note["text"])[:_LONGEST_NOTE], "star": bool(note["star"])}
                for unit, note in list(data.items())[:_MOST_NOTES]
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    @cached_property
    def _network_facts(self) -> list[dict[str, Any]]:
        return [_facts_of(network, name) for network, name in zip(self.networks, _names(self.networks), strict=True)]


def _names(networks: Sequence[Network]) -> list[str]:
    """The names of networks on the page: equal ones, such as of one network with two sets of weights, are numbered."""
    names = [printable(network.name) for network in networks]
    return [
        f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]


def _facts_of(network: Network, name: str) -> dict[str, Any]:
    layers = layer_facts(network)
    classes = next((layer["channels"] for layer in layers if layer["name"] == "output"), 0)
    with suppress(TriscopeError):
        classes = network.require_classifier()
    return {
        "name": name,
        "size": list(network.size),
        "classes": [printable(network.class_name(index)) for index in range(classes)],
        "layers": layers,
    }


def picture_of(result: Result) -> bytes | None:
    """An intermediate result as a JPEG, where it can be drawn."""
    if isinstance(result, Drawn) and result.drawable and result.usual_form != ".html":
        return jpeg(result.draw())
    return None


def samples() -> list[Path]:
    """The sample photos that are installed."""
    found = []
    for name in SAMPLES:
        with suppress(ImageError):
            found.append(sample_photo(name))
    return found


def some_pictures(folder: Path, most: int = 12) -> list[Path]:
    """A few images of a folder, spread evenly over its names (the first thousands of them)."""
    endings = (".jpg", ".jpeg", ".png", ".webp", ".gif")
    found: list[Path] = []
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        found += [Path(base) / name for name in sorted(names) if name.lower().endswith(endings)]
        if len(found) >= _LOOKED_AT:
            break
    return found[:: max(1, -(-len(found) // most))]
