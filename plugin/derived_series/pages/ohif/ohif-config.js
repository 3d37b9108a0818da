// The configuration of OHIF when it is served by the plugin under /derived-series-ohif/: its data come from the same Orthanc, and a
// derived series is shown beside its parent, at the same place.

"use strict";

/** The viewer's own path; Orthanc may be behind a proxy that puts something before it. */
const PUBLIC_URL = location.pathname.replace(/\/derived-series-ohif(\/.*)?$/, "/derived-series-ohif/");

// Used by the viewer's bundle, which expects both to be global.
Object.assign(window, { PUBLIC_URL, browserImportFunction: (name) => import(name) });

/** Where the DICOMweb plugin answers below Orthanc's root: written in by the plugin when it is configured elsewhere. */
const DICOM_WEB_ROOT = "/dicom-web";
const dicomWeb = new URL(`${PUBLIC_URL}..${DICOM_WEB_ROOT}`, location.href).href;
const query = new URLSearchParams(location.search);
const isOn = (name) => query.get(name) === "1";

/** The display set of the series that the address names. */
function seriesOf(role) {
  const uid = query.get(role) ?? "none";
  return {
    seriesMatchingRules: [
      { weight: 10, attribute: "SeriesInstanceUID", constraint: { equals: { value: uid } }, required: true },
    ],
  };
}

/** Where a slice is along the normal of its series, in mm: what tells that two viewports show the same place. */
function position({ instance }) {
  const where = instance?.ImagePositionPatient?.map(Number);
  const cosines = instance?.ImageOrientationPatient?.map(Number);
  if (where?.length !== 3 || cosines?.length !== 6) return "";
  const [a, b, c, d, e, f] = cosines;
  const normal = [b * f - c * e, c * d - a * f, a * e - b * d];
  return `${normal.reduce((sum, value, axis) => sum + value * where[axis], 0).toFixed(1)} mm`;
}

function viewport(id, displaySets) {
  const synced = ["imageslice", "zoompan", ...(isOn("window") ? ["voi"] : [])];
  return {
    viewportOptions: {
      viewportId: id,
      viewportType: "stack",
      toolGroupId: "default",
      allowUnmatchedView: false,
      initialImageOptions: { preset: "middle" },
      syncGroups: synced.map((type) => ({ type, id: `parent-and-derived-${type}`, source: true, target: true })),
    },
    displaySets: displaySets.map((name) => ({ id: name })),
  };
}

function stage(name, derived) {
  return {
    name,
    stageActivation: { enabled: { minViewportsMatched: 2 } },
    viewportStructure: { layoutType: "grid", properties: { rows: 1, columns: 2 } },
    viewports: [viewport("parent", ["parent"]), viewport("derived", derived)],
  };
}

const isOverlaid = isOn("overlay"); // a segmentation is drawn over its parent

const protocol = {
  id: "parent-and-derived",
  name: "Parent and derived",
  protocolMatchingRules: [],
  toolGroupIds: ["default"],
  numberOfPriorsReferenced: -1,
  displaySetSelectors: { parent: seriesOf("parent"), derived: seriesOf("derived") },
  defaultViewport: viewport("more", ["parent"]),
  stages: [stage("side by side", isOverlaid ? ["parent", "derived"] : ["derived"])],
};

Object.assign(window, { config: {
  name: "derived series",
  routerBasename: PUBLIC_URL.replace(/\/$/, ""),
  extensions: [
    {
      id: "derived-series",
      version: "1.0.0",
      getHangingProtocolModule: () => [{ name: protocol.id, protocol }],
    },
  ],
  modes: [],
  customizationService: [
    {
      "ohif.tours": { $set: [] },
      "viewportOverlay.bottomRight": {
        $push: [{ id: "Position", inheritsFrom: "ohif.overlayItem", title: "Position along the normal", contentF: position }],
      },
    },
  ],
  showStudyList: true,
  disableConfirmationPrompts: true,
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: false,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  investigationalUseDialog: { option: "never" },
  defaultDataSourceName: "orthanc",
  dataSources: [
    {
      namespace: "@ohif/extension-default.dataSourcesModule.dicomweb",
      sourceName: "orthanc",
      configuration: {
        friendlyName: "Orthanc",
        name: "orthanc",
        qidoRoot: dicomWeb,
        wadoRoot: dicomWeb,
        wadoUriRoot: dicomWeb,
        qidoSupportsIncludeField: false,
        imageRendering: "wadors",
        thumbnailRendering: "wadors",
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        omitQuotationForMultipartRequest: true,
        singlepart: "bulkdata,video,pdf",
        bulkDataURI: { enabled: true },
      },
    },
  ],
} });
