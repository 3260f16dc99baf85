// Types of the server's JSON and of the data of drawings, for the type checker alone.

interface Colours { signed: number[][]; unsigned: number[][] }
/** A map (C, h, w). */
interface Numbers { shape: number[]; values: Float32Array; scale: number; signed: boolean }
type Place = [left: number, top: number, width: number, height: number];

/** What a page knows of each unit of a layer; where its tiles are in one image, their `places`. */
interface Tiles {
  count: number; height: number; width: number; signed: boolean; scale: number; layer: string;
  max: number[]; min: number[]; mean: number[]; peak: [number, number][];
  places?: Place[];
}
/** Numbers in a part of an image: its colours, three channels around grey, or grey levels. */
interface MapIn { title: string; says: string; place: Place; scale: number; signed: boolean; read: "colours" | "rgb" | "levels" }
interface MapsDrawing { kind: "maps"; name: string; size: number[]; style: string; maps: MapIn[]; photos?: string[]; levels?: string }
interface TilesDrawing extends Tiles { kind: "tiles"; name: string; says: string; titles: string[]; read: boolean; places: Place[] }
/** A vector drawn as squares; the other fields of a drawing of tiles follow from it. */
interface VectorDrawing { kind: "tiles"; max: number[]; vector: { name: string; numbers: number[]; side: number; columns: number } }
interface BarsDrawing { kind: "bars"; titles: string[]; rows: Scored[][] }
interface Scored { index: number; name: string; score: number; empty?: boolean }
interface Drawer { label: string; draw: (pen: CanvasRenderingContext2D, wide: number, tall: number) => void }

interface Net { name: string; size: [number, number]; classes: string[]; layers: Layer[] }
interface Layer {
  name: string; type: string; channels: number; grid: [number, number]; parameters: number; sees: string;
  field: ([size: number, stride: number, offset: number] | null)[]; note: string; filters: boolean;
}
interface Input { name: string; kind: string; many: boolean; required: boolean; help: string; words?: string[] }
interface Setting {
  name: string; type: string; many: boolean; default: any; choices: string[]; words: string[];
  range: [number | null, number | null] | null; help: string; recorded: boolean; offered: number[];
}
interface Method {
  name: string; command: string; question: string; summary: string; long: boolean; inputs: Input[]; options: Setting[];
  title: string; line: string; sentence: string; misleads: string; needs: string[]; kinds: Record<string, string>; selects: string | null;
  heatmap: boolean; usual: boolean; picture: boolean; gallery: boolean; judged: boolean; page: boolean; mapped: boolean;
}
interface Photo { id: string; name: string }
interface Note { text: string; star: boolean }
interface Collection { name: string; pictures: number; layers: string[]; indexing: { text: string; error?: string } | null }
interface About {
  version: string; networks: Net[]; questions: Record<string, string>; methods: Method[]; photos: Photo[];
  collections: (Collection | null)[]; notes: Record<string, Note>; keepsNotes: boolean; colours: Colours;
}

/** What a map shows; the arrays have their values image by image. `near` are the neighbours of each, as far as they are known. */
interface MapData {
  count: number; names: string[]; fields: MapField[]; color: number; places: ArrayLike<number>; rest: ArrayLike<number>;
  cells: ArrayLike<number>; grid: [rows: number, columns: number]; ids: ArrayLike<number>;
  near: Record<number, [i: number, score: number | null][]>;
  links: Record<number, [label: string, address: string][]>; tile: number; columns: number; rows: number; sizes: number[]; tones: string[];
}
/** The class of each image, as its place in the legend, and the legend. */
type MapField = [name: string, values: string[], places: number[], legend: MapColour[]];
type MapColour = [value: string, count: number, colour: string];
interface MapView { scale: number; x: number; y: number }

/** How far a job is; its state is waiting, running, paused, done, cancelled or failed. */
interface Job {
  id: string; state: string; ahead: number; index: number; total: number; score: number | null; terms: Record<string, number>;
  seconds: number; version: number; error: string | null; words: string; method: string; network: number; command: string | null; python: string;
}
interface Judged { sentence: string; doubt: boolean }
/** An image of a collection. */
interface Entry { row: number; name: string; score: number }
/** A unit that tells some images from the rest. */
interface Telling { unit: string; name: string; difference: number; low: number; high: number }
interface Matrix {
  axes: string[]; answers: string[];
  lines: { label: string; total: number; right: number | null; cells: (Cell | null)[] }[];
}
/** Images of a cell, and what is asked about them: a unit, and the same in words. */
interface Cell { count: number; rows: number[]; unit: string; question: string }
/** What a job found. */
interface Found {
  kind: string; notes: string[]; details: string[]; text: string | null; forms: string[]; heatmap: boolean; drawn: boolean;
  page: boolean; parts: Entry[]; scale: number; signed: boolean; score: number; asked: string; judged: Record<string, Judged>;
  measure: string; units?: Telling[]; mean: number; pictures: number; matrix?: Matrix;
}

/** The settings of a form when its job began. */
interface Said { inputs?: Record<string, any>; options?: Record<string, any> }
interface Kept { job: Job; said: Said; picture: boolean }

/** What every page is given: the data, and links to other pages. */
interface App {
  about: About; history: Kept[]; network: number; beside: number; photo: string; readonly net: Net;
  readonly collection: Collection | null;
  sides(): number[];
  nameOf(network: number): string;
  unitIn(network: number, unit: string): string;
  methods(fits: (method: Method) => unknown): Method[];
  only(method: Method, names: string[]): boolean;
  goodLayer(): Layer;
  unit(): string;
  className(unit: string): string;
  field(layer: Layer, row: number, col: number): number[];
  link(to: string, how?: Record<string, any>): string;
  go(to: string, how?: Record<string, any>): void;
  put(now: Record<string, any>, usual?: Record<string, string>): void;
  photoName(): string;
  firstPhoto(input: string): string;
  nextPhoto(by: number): void;
  keeping: Promise<any>;
  keep(unit: string, change: Partial<Note>, done: string): Promise<any>;
  star(unit: string): Promise<any>;
  warn(text: string): void;
}

/** A unit on a static site; `strip` is an image of its patches. */
interface FrozenUnit {
  unit: string; channel: number; title: string; score: number | null; steps: number; notes: string[]; picture: string;
  strip: string; patches: { name: string; score: number; at: number[] | null }[] | null; command: string;
}
/** A page of it: that of a layer and its units, or the first, which has none; and the pages before and after. */
interface FrozenData {
  name: string; type: string; sees: string; units: FrozenUnit[]; photos: number | null; before: string; after: string;
}

interface FormField { name: string; shown: boolean; node: HTMLElement; read: () => any; set: (value: any) => void }
interface MethodForm { node: HTMLElement; read: () => { inputs: any; options: any }; set: (said: Said) => void; missing: () => string[] }
/** A frame as the network saw it, and the answer. */
interface CameraFrame { canvas: HTMLCanvasElement; jpeg: Blob | null; answer: Promise<any> }
/** A part of the page, until the signal tells that it is left. */
type Page = (root: HTMLElement, params: Record<string, string>, app: App, left: AbortSignal) => void;
interface Key { key: string; help: string; run: (event: KeyboardEvent) => void }
